"""What the documentation shows of real runs: figures and tables, made from the results that the lab keeps."""
