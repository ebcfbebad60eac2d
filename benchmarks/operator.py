"""The operator's benchmark, `long_conv.py`, by the name of what it measures.

The trap: Python looks beside a script before it looks in its own library, so for every script in
this folder a plain ``import operator`` (which argparse and collections do) finds this file; it then
stands in for the library's.
"""

import os

if __name__ == "operator":
    with open(os.path.join(os.path.dirname(os.__file__), "operator.py")) as library:
        exec(compile(library.read(), library.name, "exec"))

if __name__ == "__main__":
    import long_conv

    long_conv.main()
