"""Real trainings on the wall clock: hpdist against random search and Optuna."""
