"""Chat templates for tokenizers whose files have none, by generation."""

TEMPLATES = {
    "chatglm2": "{% for message in messages %}{% if loop.first %}[gMASK]sop{% endif %}"
    "{% if message['role'] == 'user' %}[Round {{ loop.index0 // 2 + 1 }}]\n\n问：{{ message['content'] }}\n\n答："
    "{% else %}{{ message['content'] }}\n\n{% endif %}{% endfor %}",
    "codegeex2": "[gMASK]sop{% for message in messages %}{{ message['content'] }}"
    "{% if not loop.last and not message['content'].endswith('\n') %}{{ '\n' }}{% endif %}{% endfor %}",
    "chatglm3": "[gMASK]sop{% for message in messages %}<|{{ message['role'] }}|>{{ message['metadata'] }}\n"
    "{{ message['content'] }}"
    "{% if message['tools'] is defined %}{{ '\n' }}{{ message['tools'] | tojson(indent=4) }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "glm4": "[gMASK]<sop>{% for message in messages %}{% if message['content'] %}<|{{ message['role'] }}|>"
    "{{ message['metadata'] }}\n{{ message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
}
