"""What the bench and attacks share: data sets, measures, results, and the journal of kept figures."""
