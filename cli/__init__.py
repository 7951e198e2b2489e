"""The command line for operators: what a stack file says, without Pulumi and without a host."""
