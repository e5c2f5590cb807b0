"""The dataset that runs fill and people read: schema, layout, parts, opening, joining. Needs neither torch nor Ray."""
