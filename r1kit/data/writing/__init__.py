"""Write the data of a run: Parquet files, a data card beside them, and both to the hub."""
