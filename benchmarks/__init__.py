"""Who simulates the circuits of quantum machine learning fast? One command, all libraries, answers before times."""
