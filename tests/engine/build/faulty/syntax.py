# line 2: raises SyntaxError while it is read: '(' was never closed
scenario = dict(
