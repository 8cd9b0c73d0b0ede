"""The engine: knows no transport, no pool of workers and no command line.

Its packages, lowest first: model, objective, space, study, dispatch, journal, results, attempt,
remote, run; each imports only those before it (study also multi_fidelity and optimizers). Open
`run.loop` first: it connects the two state machines, `study.study` and `dispatch.state`.
"""
