"""The loop that climbs an objective: steps, transforms, parametrisations, and runs that can be resumed."""
