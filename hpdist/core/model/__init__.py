"""Values, events, records and orders, and how they are checked and written as JSON.

Everything imports from here, and nothing here imports anything else of hpdist. Open `values`
first; `errors` has the exceptions that users see, `validation` the checks of what they pass in.
"""
