"""What stands on top of inference: adapters to other packages, and methods with rooms of their own.

Each room is imported by its own name, so that nothing here is loaded, and no optional package asked for, by others.
"""
