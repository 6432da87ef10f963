# line 2: raises ZeroDivisionError while it is read: division by zero
lr = 1 / 0
