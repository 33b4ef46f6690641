"""All policy: the choice of model and voice, the order of requests, the checks of an answer."""
