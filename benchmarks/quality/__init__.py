"""How good the configurations are that optimizers find: problems, runs, tables and plots."""
