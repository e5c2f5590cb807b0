"""Images, weights, kernel, score and the engines. Needs torch; neither Ray nor pyarrow."""
