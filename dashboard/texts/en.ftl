## Pages and frame
about = **FAST-ChatGLM**: chat with ChatGLM, compress it, and measure what each variant gains and costs on this machine.
language = Language
chat = Chat
compare = Compare
latency = Latency
limits = Limits
device-looking = Looking at the machine …
device-unknown = What this machine has could not be found out; see the terminal.
device-memory = { $total } of memory
device-capability = compute capability { $version }
device-cores = { $cores } { $cores ->
    [one] core
   *[other] cores
  }, { $threads } { $threads ->
    [one] thread
   *[other] threads
  }

## Choices
model = Model
model-demo = demo (built in)
model-help = The built-in demo, a checkpoint on this machine, or a hub id that you type in, such as zai-org/chatglm-6b.
variant = Variant
variants = Variants
settings = Sampling
top-p = Top-p
top-p-help = Choose among the likeliest tokens whose probabilities add up to this.
temperature = Temperature
temperature-help = Higher is more varied. 0 always takes the likeliest token.
max-length = Maximum length (tokens)
max-length-help = Of prompt and answer together. 2048 is what ChatGLM-6B was made for.
seed = Seed
seed-none = random
seed-help = The same seed, question and settings give the same answer again.

## Chat
chat-empty = Ask something, in Chinese or English. The first answer takes longer, as the model is loaded for it.
chat-input = Your message
conversation = Conversation
clear = Clear
save = Save as a file
load = Load from a file
not-a-conversation = { $name } is not a conversation saved by this app; your conversation is unchanged. Choose a file that "Save as a file" made.
stop = Stop
again = Answer again
try-again = Try again
no-answer = There is no answer.
loading-start = Starting a process for { $variant } …
loading = Loading { $variant } … { $done } of { $total }
warming = Warming up …
waiting = Waiting for the device: { $holder }
queued = { $count ->
    [0] Next in line
    [one] 1 answer before yours
   *[other] { $count } answers before yours
  }
thinking = Reading the question …
figure-tokens = { $count ->
    [one] 1 token
   *[other] { $count } tokens
  }
figure-ttft = first after { $seconds } s
figure-rate = { $rate } tokens/s
figure-memory = { $memory } in use
rounds-left-out = { $count ->
    [one] The oldest round did not fit into the context and was left out.
   *[other] The { $count } oldest rounds did not fit into the context and were left out.
  }
stopped-length = The maximum length was reached.
stopped-user = Stopped.

## Compare
compare-intro = One question to two variants. One answers after the other, so that neither slows the other.
prompt = Question
compare-prompt = What is the capital of France?
compare-go = Compare
answer-tokens = Tokens to answer
race = Race
race-help = Both answer at once. Fun to watch, but they slow each other: the times are then not comparable.
race-warning = A race: both ran at once and slowed each other, so these times are not comparable.
texts-equal = Both texts are the same ({ $count } characters).
texts-part = The texts part at character { $at }.
speed-ratio = Speed, B to A
speed-ratio-help = Tokens a second after the first token, B divided by A. Above 1, B is faster.
memory-ratio = Memory, B to A
memory-ratio-help = Memory of each host process after its answer, B divided by A. On a CPU that is all the process takes, PyTorch itself included.
tokens-per-second = tokens/s
compare-how = Each variant answered once, alone on the device and after a warm-up, always taking the likeliest token. One answer is no statistic: the Latency page repeats and gives intervals.

## Latency
latency-intro = How fast variants read a prompt (prefill) and write an answer (decode) on this machine.
prompt-tokens = Prompt tokens
repeats = Repeats
repeats-help = Answers of each kind. Fewer than 5 say little about the spread.
measure = Measure
starting = Starting …
time-left = · about { $time } s left
cancel = Cancel
cancelling = Stopping; what was measured is kept …
cancelled = The last measurement was cancelled; what it had measured is kept below.
latency-empty = Nothing has been measured yet. Choose variants above and press "Measure": it takes a minute or two for the demo model.
run = Measurement
run-empty = This measurement has no numbers.
run-unknown = This link names the measurement { $run }, which is not kept here; another one is shown. Whoever sent it can export it on the History page, and you can import it there.
status-done = done
status-cancelled = cancelled
status-failed = failed
status-running = running
status-interrupted = interrupted
ratios = Speed of **{ $variant }** over { $baseline }, writing: { $ratios }.
ratio = **{ $ratio } ×**{ $interval } after { $prompt } prompt tokens
comma = {", "}
interval = {" "}(95 %: { $low } – { $high })
decode = Writing (decode)
prefill = Reading (prefill)
how-measured = Medians of { $n } answers each, with 95 % bootstrap intervals; variants took turns, each in a process of its own, after a warm-up.
measured-on = Device: { $device } ({ $machine }, { $threads } threads). { $versions }; code { $code }. Command: `{ $command }`
all-numbers = All numbers
column-metric = Metric
column-params = Measured at
column-value = Median
column-low = 95 % from
column-high = 95 % to
column-unit = Unit

## Limits
limits-intro = ChatGLM-6B is a small model by today's measure. It writes fluently also where it is wrong, so check what matters. Compression can only add to what follows.
limits-facts = Facts
limits-facts-body = It invents names, dates, quotations, laws and sources, most of all on rare subjects, and knows nothing after its training in 2023.
limits-logic = Logic and arithmetic
limits-logic-body = It loses its way in sums with several digits, in long chains of reasoning and in code, and can contradict itself within one answer.
limits-bias = Bias and harm
limits-bias-body = It repeats prejudices of the texts it learned from, can be led into offensive or dangerous answers, and yields to a leading question.
limits-self = Knowledge of itself
limits-self-body = What it says of its maker, its size, its abilities and its version is a guess, and can be talked into something else.
limits-english = English
limits-english-body = It was trained on about as much English as Chinese but tuned mainly on Chinese: in English it is weaker, and may answer in Chinese or contradict what it says there.
limits-context = Memory
limits-context-body = It sees 2048 tokens. In a longer conversation the oldest rounds are left out; the page says so when that happens.
limits-compressed = Compressed variants
limits-compressed-body = Fewer bits change some answers. Compare shows where two texts part on one question; that alone does not say which of them is better.
limits-demo = What the demo model is not
limits-demo-body = The built-in demo is a toy, trained in minutes on questions and answers that a program made up. It shows that everything runs, with nothing downloaded. It has no knowledge of the world, and its speed and memory say nothing about a model of 6 billion parameters: for those choose `shape:chatglm-6b`, the published shape with random weights.
limits-duty = Whoever shows a model to others answers for what it says there. The weights of ChatGLM-6B come with a licence of their own.
