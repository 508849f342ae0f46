"""Workers, and the shell round the scheduler that gives them work: started, watched, ended, and why
they died."""
