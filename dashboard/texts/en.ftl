## Pages and frame
about = **FAST-ChatGLM**: chat with ChatGLM, compress it, and measure what each variant gains and costs on this machine.
language = Language
chat = Chat
compare = Compare
latency = Latency
memory = Memory
limits = Limits
device-looking = Looking at the machine …
device-unknown = The device of this machine could not be determined; see the terminal.
device-memory = { $total } of memory
device-capability = compute capability { $version }
device-cores = { $cores } { $cores ->
    [one] core
   *[other] cores
  }, { $threads } { $threads ->
    [one] thread
   *[other] threads
  }

## Who may come in
door-how = Other machines can reach this app, so it opens only with a password or a login. Write one of these into the file `.streamlit/secrets.toml` and start the app again.
door-password-how = A password:
door-login-how = Or accounts of an OpenID Connect provider, after `pip install 'fastglm[auth]'`; without `emails`, every account of the provider may come in:
door-broken = The file .streamlit/secrets.toml cannot be read, so nobody can come in; the terminal shows the reason.
door-password = Password
door-enter = Come in
door-wrong = Wrong password, or the attempt came too early. Try again in { $seconds } s.
door-login = Log in
door-logout = Log out
door-stranger = The account { $account } may not come in.
door-no-authlib = Logging in needs a package that is not installed: pip install 'fastglm[auth]'.

## Choices
model = Model
model-embedded = { $name } (built in)
model-help = The built-in demo, a checkpoint on this machine, or a hub id that you type in, such as zai-org/chatglm-6b.
model-refused = { $count ->
    [one] 1 folder that cannot be opened
   *[other] { $count } folders that cannot be opened
  }
variant = Variant
variants = Variants
settings = Sampling
top-p = Top-p
top-p-help = Choose among the likeliest tokens whose probabilities add up to this value.
temperature = Temperature
temperature-help = Higher values give more varied answers. 0 always takes the likeliest token.
max-length = Maximum length (tokens)
max-length-help = Prompt and answer together. The model's context is the limit in any case: 2048 for ChatGLM-6B, 8192 or more for later models.
seed = Seed
seed-none = random
seed-help = The same seed, question and settings give the same answer.
system = System message
system-help = Instructions to the model before the conversation, for example how to answer.

## Chat
chat-empty = Ask something, in Chinese or English. The first answer takes longer, because the model is loaded first.
examples = Examples
demo-glm-line = The demo in the layout of ChatGLM3, with eight million parameters, taught by the first demo: { $skills } small skills, one of them the call of a calculator that a program offers.
demo-line = A demo with ten million parameters, trained from nothing on { $skills } small skills: it shows speed and compression, and knows nothing else.
chat-input = Your message
conversation = Conversation
clear = Clear
save = Save as a file
load = Load from a file
not-a-conversation = { $name } is not a conversation saved by this app; your conversation is unchanged. Choose a file that "Save as a file" made.
unsaved = This conversation could not be written to the disk: { $reason }. It is in memory only and is lost when the app ends; "Save as a file" keeps it.
stop = Stop
again = Answer again
try-again = Try again
no-answer = There is no answer.
calls-tool = A call of the tool **{ $name }**
tool-not-run = Nothing runs tools here. The next message can give the result.
loading-start = Starting a process for { $variant } …
loading-served = A server is loading { $variant } …
loading-compile = Compiling { $variant } for this processor, only the first time: half a minute or more …
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
figure-ttft = first token after { $seconds } s
figure-acceptance = { $share } % of the draft kept
figure-rate = { $rate } tokens/s
figure-memory = { $memory } in use
rounds-left-out = { $count ->
    [one] The oldest round did not fit into the context and was left out.
   *[other] The { $count } oldest rounds did not fit into the context and were left out.
  }
stopped-context = The context is full, so the answer ends here: the model's positions were made for no more tokens, and texts beyond them lose their sense.
stopped-length = The maximum length was reached.
stopped-user = Stopped.

## Compare
compare-intro = Ask two variants one question. They answer one after the other, so that neither slows the other down.
prompt = Question
compare-prompt = What is the capital of France?
compare-go = Compare
answer-tokens = Tokens to answer
race = Race
race-help = Both answer at the same time. They slow each other down, so the times cannot be compared.
race-warning = A race: both ran at the same time and slowed each other down, so these times cannot be compared.
beside-warning = A server runs on this machine, so neither variant was alone: the times hold what it did meanwhile.
texts-equal = Both texts are the same ({ $count } characters).
texts-part = The texts differ from character { $at } on.
speed-ratio = Speed, B over A
speed-ratio-help = Tokens per second after the first token, B divided by A. Above 1, B is faster.
memory-ratio = Memory, B over A
memory-ratio-help = Memory of each variant's process after its answer, B divided by A. On a CPU this is the whole process, PyTorch included.
tokens-per-second = tokens/s
compare-how = Each variant answered once, alone on the device, after a warm-up, with the likeliest token each time. One answer is no statistic: the Latency page repeats and gives intervals.

## Compress
compress = Compress
compress-intro = Make a model smaller: choose a model and a recipe, look at the predicted result, and start.
recipe = Recipe
recipe-own = Build one step by step
recipe-yaml = The recipe as YAML
recipe-download = Download
step = Step
step-add = Add
step-up = One place up
step-remove = Remove
step-layers = Layers to remove
step-share = Share to remove
step-channels = Channels to keep
step-heads = Heads to keep
step-format = Format
step-prune-depth = Removes the layers that matter least.
step-prune-width = Removes the FFN channels and attention heads that matter least from every layer; the numbers are the shares to keep.
step-prune-vocabulary = Removes the tokens that the texts never use.
step-sparse24 = Sets 2 of each 4 weights to zero, for GPUs with sparse tensor cores.
step-distil = Trains the pruned model to imitate the whole one, which heals most of the damage.
step-quantise = Turns weights into 8-bit or 4-bit numbers: by GPTQ if there are texts, otherwise rounded to nearest. Always the last step.
training-steps = Training steps
predicted = Predicted result
predicted-bound = Computed, not measured. Every token needs all weights read once, which is { $read } for the original on this kind of device ({ $kind }). Where memory bandwidth is the limit, the result is at most { $ratio } × as fast; less where arithmetic or the KV cache takes time too.
predicted-vocabulary = The compression finds out which tokens the texts never use; this prediction assumes that prune-vocabulary removes none.
predicted-unknown = Size and speed can be predicted once this model is downloaded. Compressing downloads it first.
parameters = Parameters
disk-size = On disk
bytes-read = Read per token
of-original = { $ratio } × the original
step-by-step = Step by step
before = original
seconds = Seconds
loss = loss
loss-axis = loss (nats per token)
compress-quantised = This model is quantised already: choose the model that it was made from.
compress-shape = This model has random weights, so there is nothing to compress; choose demo or a checkpoint.
texts = Texts to learn from
texts-demo = The demo model's world
texts-own = A file of your own
texts-none = None: round to nearest
texts-help = For pruning, healing and calibration. Some of them are held out, to score the model after each step. They should resemble the questions that the model will get.
texts-file = Your texts
texts-file-help = UTF-8, one text per line; or JSON Lines, one {"{"}"prompt": "…", "answer": "…"{"}"} per line. At least 36 texts, better 300.
texts-missing = Give a file of texts, or choose other texts above.
compress-name = Name of the new model
compress-go = Compress
name-taken = A model named { $name } exists already: choose another name.
name-in-making = { $name } is being made: wait for it, or choose another name.
compress-cancelling = Stopping; steps that are done are kept …
compress-cancelled = The last compression was cancelled; steps that were done are kept.
compress-go-on = Continue it
job-step = step { $step } of { $steps }: { $doing }
job-compresses = { $model } → { $name }
made = Before and after
made-empty = Nothing has been made yet. Choose a model and a recipe above and press "Compress": int4 of the demo model takes about a minute, recipes that train take longer.
made-model = Finished model
made-how = Made from { $parent } by the recipe { $recipe } in { $minutes } min.
made-unscored = It was made without texts, so its quality has no score yet: measure it.
made-healed = Loss on held-out texts: { $before } for the original, { $worst } at its worst on the way, { $after } at the end.
made-scored = Loss on held-out texts: { $before } for the original, { $after } at the end.
made-chat = Chat with it
made-compare = Answers of both side by side
made-measure = Measure both
made-measured-how = From the last measurements on this machine, one model after the other.
made-how-speed = Speed: tokens per second after the first, median of repeated answers of { $answer } tokens to prompts of { $prompt }.
made-how-memory = Memory: the peak of the process while it answered.
made-how-quality = Right answers: { $count } questions that the demo model was not trained on, with the likeliest token each time.
made-right = Right answers
made-asked = Questions asked
made-question = Question
made-new = New model
made-samples = **Sample answers**, those that differ first: { $same } of { $asked } are the same.
made-unmeasured = Speed, memory and right answers of the two models have not been measured on this machine yet.

## Serve
serve = Serve
serve-intro = Let other programs ask a variant over HTTP: by OpenAI's API, and by the API that ChatGLM was published with.
serve-forbidden = This app may not start servers, because a server opens a port of this machine. To allow it, start the app with `FASTGLM_ALLOW_SERVE=1 streamlit run`. A server that `fastglm serve` starts in a terminal is found by the pages Chat and Compare in any case.
serve-start = Start a server
serve-host = Address
serve-host-help = 127.0.0.1 is for programs on this machine. With 0.0.0.0, others reach the server too; it then always has a key.
serve-port = Port
serve-key = With a key
serve-key-help = Programs send the key with each request. A server that other machines can reach always has one.
serve-go = Start
serve-starting = Starting a server at port { $port } …
serve-stop = Stop
serve-stopping = It is stopping: answers that run may take another minute.
serve-key-once = The key of the new server, which the app shows only now. Copy it; programs write it in place of KEY.
serve-key-copied = Copied
serve-elsewhere = From other machines, write this machine's address in digits in place of 127.0.0.1.
serve-open = Requests now
serve-open-help = Answers that run or wait, { $waiting } of them without a token yet. More than { $most } at a time are refused.
serve-rate = Tokens/s
serve-rate-help = Tokens of all answers in the last ten seconds.
serve-ttft = First token, p50 / p95
serve-ttft-help = The time to the first token of half of the answers, and of 95 % of them, since the server's start; read off a histogram.
serve-slots = Slots in use
serve-slots-help = Answers that hold keys and values. There are as many slots as memory has room for; further answers wait.
serve-memory-help = Memory of the process that holds the model.
served-here = A running server has loaded this variant; this app asks it too.

## Servers under load
load-title = How many people can this machine serve?
load-intro = Numbers of clients ask a server of each variant, one request after another. The tokens of all clients together grow with their number, and so does the wait of each.
load-clients = Clients at once
load-repeats-help = Of every number of clients; each takes 10 seconds or more. 5 or more for an interval.
load-empty = No server has been measured yet. On this machine, `python -m benchmarks serving` measures a server of each variant, and with `--endpoint URL` any OpenAI server; where the app may start servers, a form above does the first.
load-takes = This takes { $minutes } minutes or more, beside the loading.
load-beside = Other runs in the same charts
load-beside-help = Runs on the same machine with the same prompts and lengths of answers: of the same model, or of a server at an address, such as another program's.
load-quantile = Quantile of the times
load-tpot = time per token
load-ttft = time to the first token
load-work = tokens/s of all clients
load-how = The numbers at the points are clients. Higher is more work, further left is less waiting. Medians of the repeats; the times are those of all answers.
load-many = Within limits
load-limit-ttft = First token within, s
load-limit-tpot = Each further token within, ms
load-most = { $kind ->
    [none] **{ $variant }**: none of the measured numbers of clients ({ $measured }) keeps these limits.
    [largest] **{ $variant }**: **{ $most }** { $most ->
        [one] client keeps
       *[other] clients at once keep
      } these limits, the largest number that was measured ({ $measured }).
   *[some] **{ $variant }**: { $most ->
        [one] **1** client keeps
       *[other] up to **{ $most }** clients at once keep
      } these limits (measured: { $measured }).
  }
load-most-how = A number keeps the limits if 95 % of the first tokens and 95 % of the mean times per token do, at most 5 % of the requests fail, and all smaller measured numbers keep them too.
load-goodput = answers/s within the limits
load-goodput-how = Computed from the stored times of the measured answers: answers a second, times the share within both limits.
load-goodput-unknown = Some answers had a single token or failed altogether: the share within both limits is unknown there.
load-share = Within the limits
people-intro = **And people?** A client asks again at once. A person reads the answer first, and so leaves room for others.
people-reads = A person reads, tokens/s
people-reads-help = About 5 for English or Chinese prose. Tokens must arrive as fast as that, beside the limits above.
people-every = and asks every, s
people-every-help = From one question to the next, but not before the answer is read.
people-none = **{ $variant }**: no measured load keeps the limits at this pace.
people-by-clients = **{ $variant }** has time for about **{ $count } people**: at 95 % of all moments at most { $clients } of them wait for an answer, and { $clients } clients at once were measured.
people-by-rate = **{ $variant }** has time for about **{ $count } people**: together they ask { $rate } questions a second at random moments, as was measured.
people-largest = No larger load was measured, so there may be room for more.
people-how = Computed, not measured: answers of { $answer } tokens as in the run, a question every { $cycle } s, at most { $pace } so that nobody waits while reading, and the times of the measured loads. Nothing is inferred about larger loads.

## Overview
overview = Overview
overview-intro = Choose the variant to run on this machine: speed against quality, and the memory of each.
overview-machine = Machine
overview-model-unknown = This link names a model that may not be opened here; the built-in demo is shown.
overview-machine-unknown = This link names a machine that has no results here; this machine is shown.
overview-elsewhere = This machine has no results yet, but another one has: choose it above.
fact-parameters = { $count } parameters
fact-disk = { $size } on disk
fact-layers = { $layers } layers, hidden size { $hidden }
fact-context = context of { $count } tokens
fact-vocabulary = vocabulary of { $count } tokens
fact-unknown = size and layers are known once it has been downloaded
side-speed = speed
side-memory = memory
side-quality = quality
overview-missing = Not measured on this machine yet: { $what }. This command measures it: { $command }
overview-no-quality = These weights are random, so their answers have no quality to measure.
overview-measure = Measure it now
overview-failed = **{ $variant }** could not be measured: { $error }
overview-undrawn = Not in the chart, because one of its two axes is not measured for these variants: { $variants }.
overview-speed = Writing speed (tokens/s)
overview-accuracy = Right answers
overview-agreement = Agreement with original
overview-memory = Memory ({ $unit })
overview-quality = Quality
overview-fits = Fits
overview-runs = Measured
overview-how = Speed: median of answers of { $answer } tokens after prompts of { $prompt }, with 95 % intervals.
overview-how-peak = Memory: the peak of the process while it answered.
overview-how-weights = Memory: the weights alone, because no peak is measured.
overview-how-accuracy = Quality: the share of held-out questions with the right answer.
overview-how-agreement = Quality: the share of tokens for which the variant's choice is the original's.
overview-how-none = Quality is not measured, so the chart shows speed against memory: the farther right and the lower, the better.
overview-how-area = The area of a bubble is its memory, at most { $largest }.
overview-how-front = The dotted line joins the variants that no other variant beats in both (the Pareto front).
overview-how-hollow = Hollow bubbles do not fit: they take more than 90 % of the device's { $total }.
advice-pick = Run **{ $variant }** here.
advice-speed = It writes **{ $ratio } ×** as fast as { $baseline } ({ $rate } against { $base } tokens/s).
advice-memory = It takes **{ $ratio } ×** the memory ({ $memory } against { $base }).
advice-first = No other variant that keeps the quality is better.
advice-same = The weights are the original's, so no quality is lost.
advice-accuracy = It answers { $share } of the questions right, { $baseline } { $base }.
advice-agreement = It would write the original's token in { $share } of all cases.
advice-careful = If quality matters above all, take **{ $variant }**: { $share } instead of { $pick }, at { $rate } tokens/s.
advice-faster-unknown = Faster still, but of unknown quality: { $variants }.
advice-too-big = original does not fit into the memory of this device, so only the other variants are compared.
advice-no-original = original is not measured here, so only the other variants are compared.
advice-none-fits = No variant whose speed is measured fits into the memory of this device.
advice-none-known = No variant that fits is known to keep the quality: measure the quality to get advice.
advice-rule = The rule: a variant counts if it takes at most 90 % of the device's memory and its quality is not surely more than 2 points below that of original (or of the best variant that fits). The fastest of these is recommended; where intervals of speed overlap, the one with the least memory. Where quality is not measured, only variants with the original's weights count.

## Latency
latency-intro = The speed of variants on this machine, in reading a prompt (prefill) and in writing an answer (decode).
prompt-tokens = Prompt tokens
repeats = Repeats
repeats-help = Number of answers of each kind. Fewer than 5 say little about the spread.
measure-beside = { $servers } uses the device: measure beside it, marked as disturbed (refused otherwise)
measure = Measure
starting = Starting …
time-left = · about { $time } s left
cancel = Cancel
cancelling = Stopping; what was measured is kept …
cancelled = The last measurement was cancelled; what it had measured is kept below.
log = Log
job-waits = { $count ->
    [0] next in line
    [one] waits for 1 before it
   *[other] waits for { $count } before it
  }
job-resumes = the rest of { $run }
job-abandoned = The measuring process was ended from outside; it continues where it stopped …
latency-empty = Nothing has been measured yet. Choose variants above and press "Measure": it takes a minute or two for the demo model.
run = Measurement
go-on = Continue this measurement
run-empty = { $status ->
    [running] This measurement has no numbers yet.
   *[other] This measurement has no numbers.
  }
run-newest = The newest { $count } runs. Older ones are on the History page.
run-unknown = This link names the measurement { $run }, which is not stored here. The sender can export it on the History page, and you can import it there.
status-done = done
status-cancelled = cancelled
status-failed = failed
status-running = running
status-interrupted = interrupted
ratios = Writing speed of **{ $variant }** over { $baseline }: { $ratios }.
ratio = **{ $ratio } ×**{ $interval } after { $prompt } prompt tokens
comma = {", "}
list-comma = {", "}
sentence-space = {" "}
interval = {" "}(95 %: { $low } – { $high })
decode = Writing (decode)
prefill = Reading (prefill)
first-token = Time to the first token
first-token-one = All prompts have { $prompt } tokens. To see how the time grows with the prompt, choose several lengths above and measure again.
first-token-ratios = Time to the first token of **{ $variant }** over { $baseline }: { $ratios }.
token-times = Times of single tokens
token-times-quantiles = p50: half of the tokens after the first took at most this time; p95 and p99: 95 and 99 of 100. The farther p99 is from p50, the less evenly an answer flows. Intervals come from resampling whole answers, never single tokens.
token-times-all = The share of tokens that took at most the time on the axis: the farther left, the faster; the steeper, the more even. The slowest few in a thousand may lie beyond the edge.
throughput = Throughput against batch
throughput-how = New tokens of all sequences of a batch over the time they took together; prompts of { $prompt } tokens, answers of { $answer }.
floor = Against the memory's bandwidth
floor-axis = share of the floor's speed
floor-how = Every token needs all weights read once. At { $speed }, the speed of copying memory on this device, that takes at least: { $each }. This floor is the chart's 100 %; prompts have { $prompt } tokens. Weights that fit into the processor's caches are read faster, so a small model can pass it.
how-measured = Medians of { $n } repeats, with 95 % bootstrap intervals. In each repeat the variants answer in turn, after a warm-up, each in a process of its own; where loading is quick every repeat begins new processes, which answer several times.
measured-on = Device: { $device } ({ $machine }, { $threads } threads). { $versions }; code { $code }. Command: { $command }
all-numbers = All numbers
column-metric = Metric
column-params = Measured at
column-value = Median
column-low = 95 % from
column-high = 95 % to
column-unit = Unit

## Memory
memory-intro = The memory of each variant on this machine, with longer contexts and larger batches, and the cards that each fits.
memory-empty = No memory has been measured yet. Choose variants above and press "Measure": it takes about a minute for the demo model.
memory-parts = Where the memory goes
memory-weights = Weights
memory-cache = KV cache
memory-rest = The rest
out-of-memory = out of memory
memory-how = Each variant ran in a process of its own, alone on the machine; the longest measured prompt counts. Weights and KV cache are counted from their tensors. The peak while answering is measured: on a GPU PyTorch's allocations, on a CPU the whole process, Python and PyTorch included. The rest is this peak minus the other two. A red bar is a variant that ran out of memory; its height means nothing.
memory-reach = What fits
context = Context (tokens of prompt and answer)
batch = Batch
batch-help = Sequences that are answered at the same time. Each has a KV cache of its own; the weights are shared.
memory-fits = With { $context } tokens of context and a batch of { $batch }, { $variants } { $count ->
    [one] fits
   *[other] fit
  } into the { $memory } of this machine's device.
memory-fits-not = With { $context } tokens of context and a batch of { $batch }, { $variants } { $count ->
    [one] does
   *[other] do
  } not fit into the { $memory } of this machine's device.
memory-longest = The longest context in tokens that fits on this machine at a batch of { $batch } (the model's limit is { $limit }): { $each }.
memory-below = No card is drawn, because every line stays far below the smallest one, { $card }.
this-machine = this machine, { $memory }
memory-computed = Lines are computed: weights, plus the rest, plus the KV cache, whose measured bytes per token are multiplied by context and batch. The original's cache grows token by token. The fast engine reserves its cache in steps of 64 tokens and doubles it when an answer passes 128 tokens and fills it, so it can take up to twice as much. The rest stays as measured; longer prompts and larger batches add to it, and a GPU's driver takes some hundred MB more. 1 GB is 10⁹ bytes.
memory-points = { $batch ->
    [1] Points are measured peaks.
   *[other] Peaks were measured for one sequence at a time; they are shown at a batch of 1.
  }
memory-elsewhere = This was measured on { $device }. Models run on { $kind } here, where the bytes of the weights and the rest may differ.
cards-title = Cards that { $model } fits
cards-int8 = KV cache as int8 (--cache int8)
cards-fit = With { $context } tokens of context, { $variants } { $count ->
    [one] fits
   *[other] fit
  } on a { $card } GB card.
cards-none = With { $context } tokens of context, { $variants } { $count ->
    [one] needs
   *[other] need
  } more than a { $card } GB card.
cards-work = Reading the prompt
cards-card = Smallest card
cards-how = Computed from the model's sizes, with nothing downloaded, for one conversation on a GPU in fp16: weights in the variant's format, the keys and values of the whole context, and the most that reading a prompt of that length takes beside them. A card counts if 90 % of it is enough, because its driver and PyTorch take the rest: a 4 GB card has 3.6 × 2³⁰ bytes left. The tensors were counted on a CPU and agree; on a GPU the total is not measured. If a long answer follows a short prompt, the KV cache can grow to twice its size.
fits = fits
fits-not = does not fit
column-need = Needs
column-token = KV cache per token
column-fits = On this machine
column-longest = Longest context

## Quality
quality = Quality
quality-intro = The cost of each variant in answers: all variants get the same questions and always take the likeliest token, and each is compared with the original.
quality-shape = This model has random weights, so its answers have no quality. Choose demo or a checkpoint.
quality-empty = Nothing has been measured yet. Choose variants above and press "Measure": it takes a few minutes per variant for the demo model.
questions-each = Questions of each kind
questions-each-help = For each skill, language and split (new numbers, new wordings). 24 make about 2,800 in all; fewer are quicker and less certain.
own-questions = Or your own questions instead (JSON Lines)
own-questions-help = One {"{"}"prompt": "…", "answer": "…"{"}"} per line, with "history": [["asked", "answered"]] for earlier rounds. Perplexity and divergence are computed on your answers.
accuracy = Right answers
perplexity = Perplexity
perplexity-axis = perplexity (1 is the least)
divergence = Divergence (KL)
agreement = Same likeliest token
share-of-questions = share of the questions
share-of-tokens = share of the tokens
nats-per-token = nats per token
axes-fitted = The axes do not start at zero, so that small differences can be seen. Lines are 95 % intervals.
by-skill = Right answers by skill
questions-in = Questions in
both-languages = Both languages
changed-answers = Answers that differ from { $baseline }'s
changes = **{ $variant }** lost { $lost } and won { $won } of { $asked } questions; { $other } answers changed without becoming right or wrong.
changes-sure = By chance alone, lost and won would differ so much in { $p } of all cases: the difference is real.
changes-chance = By chance alone, lost and won would differ so much in { $p } of all cases: this shows no difference.
lost = lost
won = won
changed-otherwise = changed
column-change = Change
column-skill = Skill
column-expected = Expected
asked-held-out = Questions that the demo model was not trained on; an answer is right or wrong.
asked-own = Questions of { $file }. Nobody said which other answers are right, so likelihoods are compared.
how-judged = Every variant answered in a process of its own. Perplexity, divergence and agreement are computed on the tokens of the expected answers; the original's part is computed once, layer by layer, and kept. Intervals are 95 %: Wilson for shares of questions, bootstrap over questions for the rest.

## History
history = History
any = Any
history-intro = All stored runs. Select one for its numbers, or two to compare them.
history-empty = There are no runs yet. Measure something on the Latency page, or import a file of runs below.
history-search = Search
history-search-help = Words from the id, model, variants, machine, code version or command. Selected runs stay in the table whatever the filters.
history-count = { $found } of { $all } runs{ $hidden ->
    [0] {"."}
   *[other] {"; the newest"} { $shown } are shown, the filters find the others.
  }
history-unknown = { $count ->
    [one] This link names the run { $runs }, which was deleted or is
   *[other] This link names the runs { $runs }, which were deleted or are
  } not stored here. Below, deleted runs can be restored, and exported files of others can be imported.
history-select = Select one run in the table for its numbers, or two to compare them: the box at the start of a row, or the space bar.
column-when = When
column-suites = Measured
column-machine = Machine
column-code = Code version
column-status = Status
column-verdict = B is
facts = Conditions
fact-settings = Settings
fact-versions = Versions
fact-command = Command
html-report = Report as a web page
export = { $count ->
    [one] Export 1 run
   *[other] Export { $count } runs
  }
export-help = JSON holds everything, so that runs can be compared elsewhere. CSV and Parquet, for other programs, have one row per measurement.
import = Import runs
import-help = A .json file that was exported here or elsewhere. Runs that are already here are not added twice.
importing = Importing …
imported = { $name }: { $new } new, { $completed } completed, { $known } already here, { $refused } refused.
import-refused = A run is refused if its numbers differ from the stored run of the same id.
delete = { $count ->
    [0] Delete
    [one] Delete 1 run
   *[other] Delete { $count } runs
  }
delete-running = A run that is still measuring cannot be deleted: cancel it, or wait for its end.
deleted = { $count ->
    [one] 1 run was deleted.
   *[other] { $count } runs were deleted.
  }
undo = Undo
recently-deleted = Recently deleted ({ $count })
deleted-help = Deleted runs are kept for { $days } days. Select the runs to restore.
restore = { $count ->
    [0] Restore
    [one] Restore 1 run
   *[other] Restore { $count } runs
  }
two-runs = Two runs compared
two-axis = B over A (logarithmic)
two-how = A is the earlier run. Each ratio is the geometric mean of B's repeats over that of A's, with its 95 % interval (Welch's t interval of the logarithms). Filled: B is surely better. Cross: B is surely worse. Hollow: equal, or undecided because the interval holds 1. Above 1 means more: good for rates, bad for times and memory.
verdicts = At 95 %, B is better in { $better }, worse in { $worse }, undecided in { $undecided } and equal in { $equal } of the lines below.
verdict-better = better
verdict-worse = worse
verdict-undecided = undecided
verdict-equal = equal
trend = Trend over code versions
trend-empty = The chosen runs have no such number: choose another metric, variant or machine.
trend-axis = runs in time order; code version where it changes
trend-how = Each point is a run on { $machine } with its 95 % interval, the oldest at the left; at most the newest 200. { $metric }: { $meaning }.

## Limits
limits-intro = ChatGLM-6B and its successors are small models by today's measure. They write fluently even where they are wrong, so check what matters. Compression can only add to these limits.
limits-facts = Facts
limits-facts-body = They invent names, dates, quotations, laws and sources, most of all on rare subjects, and know nothing after their training, which was in 2023 for ChatGLM-6B.
limits-logic = Logic and arithmetic
limits-logic-body = They lose their way in sums with several digits, in long chains of reasoning and in code, and can contradict themselves within one answer.
limits-bias = Bias and harm
limits-bias-body = They repeat prejudices of the texts they learned from, can be led into offensive or dangerous answers, and yield to leading questions.
limits-self = Knowledge of themselves
limits-self-body = Their statements about their maker, size, abilities and version are guesses, and they can be talked into others.
limits-english = English
limits-english-body = ChatGLM-6B was trained on about as much English as Chinese but tuned mainly on Chinese: its English is weaker, and it may answer in Chinese or contradict its Chinese answers.
limits-context = Memory
limits-context-body = ChatGLM-6B sees 2048 tokens, later models 8192 or more. In a longer conversation the oldest rounds are left out, and the page says so.
limits-compressed = Compressed variants
limits-compressed-body = Fewer bits change some answers. The Compare page shows where two texts begin to differ; that alone does not say which of them is better.
limits-demo = The demo model
limits-demo-body = The built-in demo is a toy. It was trained for a few hours on two processor cores, on questions and answers that a program made up. It shows that everything runs, with nothing downloaded. It has no knowledge of the world, and its speed and memory say nothing about a model of 6 billion parameters: for those choose `shape:chatglm-6b`, the published shape with random weights.
limits-duty = If you show a model to others, you are responsible for its answers there. The weights of each published model come with a licence of their own.
