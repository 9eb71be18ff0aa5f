"""What a checkpoint file and a folder of them must fulfil before a run goes on from it."""
