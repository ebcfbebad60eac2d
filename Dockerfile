# docker build -t orchid-genomics .
# docker run --rm -v "$PWD:/data" orchid-genomics score-variants yeast genome.fa calls.vcf.gz -o scored.vcf.gz
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY orchid_genomics ./orchid_genomics
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /tmp/wheels
# For a GPU, run with --gpus all: the wheels of PyTorch bring their own CUDA libraries.
RUN pip install --no-cache-dir -c /tmp/constraints.txt /tmp/wheels/*.whl huggingface_hub \
    && rm -rf /tmp/wheels /tmp/constraints.txt
# Files that it writes belong to whoever runs it with --user; caches of indexes go where all may write.
ENV ORCHID_CACHE=/tmp/orchid-genomics HF_HOME=/tmp/huggingface
WORKDIR /data
ENTRYPOINT ["orchid-genomics"]
CMD ["--help"]
