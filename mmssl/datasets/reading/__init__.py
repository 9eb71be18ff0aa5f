"""What is in a file: pictures, slices and volumes as arrays, with their geometry."""
