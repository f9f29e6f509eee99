"""Time-boxed training on CPUs: loop, optimizers, schedules, growing, logging."""
