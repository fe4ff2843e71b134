"""Tools for data sets: inspect, prepare, class weights, border weights."""
