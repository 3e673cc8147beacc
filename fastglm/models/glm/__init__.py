"""GLM: ChatGLM2, ChatGLM3, GLM-4, CodeGeeX2 and CodeGeeX4."""
