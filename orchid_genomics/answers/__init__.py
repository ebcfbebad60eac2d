"""What an answer is: the kinds of supervised task, and the scores of answers over a whole set."""
