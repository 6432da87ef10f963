# line 2: raises ZeroDivisionError: division by zero
lr = 1 / 0
