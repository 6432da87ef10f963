# line 2: raises SyntaxError: '(' was never closed
scenario = dict(
