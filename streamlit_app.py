"""The whole app: `streamlit run`."""

import streamlit as st

from dashboard.texts import say

# No icons: their pictures for the browser's tab would be fetched from another server.
st.navigation(
    [
        st.Page("pages/chat.py", title=say("chat"), default=True),
        st.Page("pages/compare.py", title=say("compare")),
        st.Page("pages/compress.py", title=say("compress")),
        st.Page("pages/serve.py", title=say("serve")),
        st.Page("pages/overview.py", title=say("overview")),
        st.Page("pages/latency.py", title=say("latency")),
        st.Page("pages/memory.py", title=say("memory")),
        st.Page("pages/quality.py", title=say("quality")),
        st.Page("pages/history.py", title=say("history")),
        st.Page("pages/limits.py", title=say("limits")),
    ]
).run()
