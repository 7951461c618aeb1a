"""A fit as it is posed: what the rows are like, the coordinates they are fitted in, and what is known beforehand."""
