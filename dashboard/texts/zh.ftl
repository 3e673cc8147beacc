## Pages and frame
about = **FAST-ChatGLM**：与 ChatGLM 对话，压缩它，并在本机上测量每个变体的得与失。
language = 语言
chat = 对话
compare = 对比
latency = 延迟
memory = 内存
limits = 局限
device-looking = 正在查看本机硬件……
device-unknown = 无法获知本机硬件，详见终端。
device-memory = 内存 { $total }
device-capability = 计算能力 { $version }
device-cores = { $cores } 核，{ $threads } 线程

## Who may come in
door-how = 其他机器也能访问本应用，所以只有知道密码或已登录的人才能进入。请把下面的一种设置写入文件 `.streamlit/secrets.toml`，再重新启动应用。
door-password-how = 密码：
door-login-how = 或者 OpenID Connect 提供方的账户，需先运行 `pip install 'fastglm[auth]'`；不写 `emails` 时，该提供方的所有账户都能进入：
door-broken = 无法读取文件 .streamlit/secrets.toml，任何人都不能进入；原因见终端。
door-password = 密码
door-enter = 进入
door-wrong = 密码错误，或尝试得太早，请在 { $seconds } 秒后再试。
door-login = 登录
door-logout = 退出登录
door-stranger = 账户 { $account } 不能进入。
door-no-authlib = 登录所需的软件包没有安装，请运行：pip install 'fastglm[auth]'。

## Choices
model = 模型
model-embedded = { $name }（内置）
model-help = 内置的演示模型、本机上的检查点，或自行输入的 hub id，例如 zai-org/chatglm-6b。
model-refused = 有 { $count } 个文件夹不能打开
variant = 变体
variants = 变体
settings = 采样
top-p = Top-p
top-p-help = 只在概率累计到该值的最可能词元中选取。
temperature = 温度
temperature-help = 越高，回答越多样；0 表示总取最可能的词元。
max-length = 最大长度（词元）
max-length-help = 提示与回答合计，总以模型的上下文为限：ChatGLM-6B 为 2048，后来的模型为 8192 或更多。
seed = 随机种子
seed-none = 随机
seed-help = 种子、问题和设置都相同时，回答也相同。
system = 系统消息
system-help = 对话开始前给模型的指示，例如应当怎样回答。

## Chat
chat-empty = 请用中文或英文提问。首次回答之前要加载模型，会慢一些。
examples = 示例
demo-glm-line = ChatGLM3 结构的演示模型，八百万参数，由第一个演示模型教成：{ $skills } 种小技能，其中一种是调用程序提供的计算器。
demo-line = 一千万参数的演示模型，从零训练，学了 { $skills } 种小技能：它展示速度与压缩，除此之外一无所知。
chat-input = 输入消息
conversation = 会话
clear = 清空
save = 保存为文件
load = 从文件载入
not-a-conversation = { $name } 不是本应用保存的会话，当前会话保持不变。请选择由“保存为文件”得到的文件。
unsaved = 这段对话没能写入磁盘：{ $reason }。它只保存在内存里，程序结束后会丢失；可用“保存为文件”留下它。
stop = 停止
again = 重新回答
try-again = 重试
no-answer = 没有回答。
calls-tool = 调用工具 **{ $name }**
tool-not-run = 这里不会执行工具。可以在下一条消息里给出结果。
loading-start = 正在为 { $variant } 启动进程……
loading-served = 服务器正在载入 { $variant }……
loading-compile = 正在为本机处理器编译 { $variant }，只在首次需要：半分钟或更久……
loading = 正在加载 { $variant }…… { $done } / { $total }
warming = 正在预热……
waiting = 正在等待设备：{ $holder }
queued = { $count ->
    [0] 下一个轮到你
   *[other] 前面还有 { $count } 个回答
  }
thinking = 正在阅读问题……
figure-tokens = { $count } 个词元
figure-ttft = 首词 { $seconds } 秒
figure-acceptance = 采纳草稿 { $share } %
figure-rate = { $rate } 词元/秒
figure-memory = 占用 { $memory }
rounds-left-out = 最早的 { $count } 轮对话超出上下文，未被使用。
stopped-context = 上下文已满，回答到此为止：模型的位置编码只为这么多词元而设，超出之后文字会失去意义。
stopped-length = 已达到最大长度。
stopped-user = 已停止。

## Compare
compare-intro = 向两个变体提同一个问题。两者先后回答，互不拖慢。
prompt = 问题
compare-prompt = 法国的首都是哪里？
compare-go = 对比
answer-tokens = 回答的词元数
race = 竞速
race-help = 两者同时回答，会互相拖慢，所测时间不可比较。
race-warning = 竞速：两者同时运行、互相拖慢，所测时间不可比较。
beside-warning = 本机有服务器在运行，两个变体都没有独占设备：所得时间受它当时所做的事影响。
texts-equal = 两段文字完全相同（{ $count } 个字符）。
texts-part = 两段文字从第 { $at } 个字符起不同。
speed-ratio = 速度，B ÷ A
speed-ratio-help = 首词之后每秒的词元数，B 除以 A；大于 1 表示 B 更快。
memory-ratio = 内存，B ÷ A
memory-ratio-help = 回答之后各变体进程的内存，B 除以 A。在 CPU 上是整个进程的内存，包括 PyTorch。
tokens-per-second = 词元/秒
compare-how = 每个变体独占设备，预热后各回答一次，总取最可能的词元。一次回答不足以统计：“延迟”页会重复测量并给出区间。

## Compress
compress = 压缩
compress-intro = 让模型变小：选一个模型和一份配方，看一看预计的结果，然后开始。
recipe = 配方
recipe-own = 自己逐步搭建
recipe-yaml = 配方的 YAML
recipe-download = 下载
step = 步骤
step-add = 添加
step-up = 上移一位
step-remove = 移除
step-layers = 去掉的层数
step-share = 去掉的比例
step-channels = 保留的通道比例
step-heads = 保留的注意力头比例
step-format = 格式
step-prune-depth = 去掉最不重要的层。
step-prune-width = 从每一层去掉最不重要的 FFN 通道和注意力头；填写的是保留的比例。
step-prune-vocabulary = 去掉文本中从未用到的词元。
step-sparse24 = 每 4 个权重中有 2 个变为零，供带稀疏张量核心的 GPU 使用。
step-distil = 让剪枝后的模型向完整的模型学习，大部分损伤由此恢复。
step-quantise = 把权重变为 8 位或 4 位的数：有文本时用 GPTQ，否则就近取整。总是最后一步。
training-steps = 训练步数
predicted = 预计的结果
predicted-bound = 此为计算值，并非实测。每写一个词元都要把全部权重读一遍：在这类设备（{ $kind }）上，原模型要读 { $read }。因此当内存带宽是瓶颈时，最多快到 { $ratio } 倍；若运算或 KV 缓存也占时间，则达不到。
predicted-vocabulary = 文本用不到哪些词元，压缩时才知道；这里假定 prune-vocabulary 没有去掉任何词元。
predicted-unknown = 下载此模型之后才能预计大小和速度；压缩时会先下载。
parameters = 参数量
disk-size = 磁盘占用
bytes-read = 每词元读取量
of-original = 原模型的 { $ratio } 倍
step-by-step = 逐步数据
before = 原模型
seconds = 秒
loss = 损失
loss-axis = 损失（奈特/词元）
compress-quantised = 此模型已经量化：请选择它所来自的模型。
compress-shape = 此模型的权重是随机的，没有可压缩的内容；请选 demo 或某个检查点。
texts = 学习用的文本
texts-demo = 演示模型的世界
texts-own = 自己的文件
texts-none = 不用文本：就近取整
texts-help = 用于剪枝、恢复和校准；其中一部分留出，每一步之后用来给模型评分。文本应与模型将来遇到的问题相近。
texts-file = 你的文本
texts-file-help = UTF-8 编码，每行一段文本；或 JSON Lines，每行一个 {"{"}"prompt": "…", "answer": "…"{"}"}。至少 36 段，300 段更好。
texts-missing = 请给出一个文本文件，或在上方另选文本。
compress-name = 新模型的名称
compress-go = 开始压缩
name-taken = 已有名为 { $name } 的模型：请换一个名称。
name-in-making = { $name } 正在制作中：请等它完成，或换一个名称。
compress-cancelling = 正在停止，已完成的步骤会保留……
compress-cancelled = 上次压缩被取消；已完成的步骤会保留。
compress-go-on = 继续这次压缩
job-step = 第 { $step } 步，共 { $steps } 步：{ $doing }
job-compresses = { $model } → { $name }
made = 压缩前后
made-empty = 还没有做出任何模型。请在上方选好模型和配方，然后按“开始压缩”：演示模型的 int4 大约需要一分钟，带训练的配方更久。
made-model = 做好的模型
made-how = 由 { $parent } 按配方 { $recipe } 制成，用时 { $minutes } 分钟。
made-unscored = 制作时没有用文本，因此没有评分：请测量它的质量。
made-healed = 留出文本上的损失：原模型 { $before }，途中最差 { $worst }，最终 { $after }。
made-scored = 留出文本上的损失：原模型 { $before }，最终 { $after }。
made-chat = 与它对话
made-compare = 两者的回答并排对照
made-measure = 测量两者
made-measured-how = 取自本机上最近的测量，两个模型先后进行。
made-how-speed = 速度：对 { $prompt } 个词元的提示多次作答，每次 { $answer } 个词元，取首词之后每秒词元数的中位数。
made-how-memory = 内存：作答过程中进程占用的峰值。
made-how-quality = 答对的比例：共 { $count } 道未用于演示模型训练的题，总取最可能的词元。
made-right = 答对的比例
made-asked = 题数
made-question = 问题
made-new = 新模型
made-samples = **回答示例**，不同的排在前面：{ $asked } 题中有 { $same } 题回答相同。
made-unmeasured = 本机上还没有测量这两个模型的速度、内存和答对的比例。

## Serve
serve = 服务
serve-intro = 让其他程序经 HTTP 向一个变体提问：可用 OpenAI 的接口，也可用 ChatGLM 发布时的接口。
serve-forbidden = 服务器会打开本机的一个端口，所以本应用未经许可不能启动它。如要允许，请用 `FASTGLM_ALLOW_SERVE=1 streamlit run` 启动本应用。在终端里用 `fastglm serve` 启动的服务器，对话页和对比页总能找到。
serve-start = 启动服务器
serve-host = 地址
serve-host-help = 127.0.0.1 只供本机的程序使用。用 0.0.0.0 时其他机器也能访问，此时服务器总有密钥。
serve-port = 端口
serve-key = 使用密钥
serve-key-help = 程序每次请求都要带上密钥。其他机器能访问的服务器总有密钥。
serve-go = 启动
serve-starting = 正在端口 { $port } 启动服务器……
serve-stop = 停止
serve-stopping = 正在停止：未完成的回答最多再用一分钟。
serve-key-once = 新服务器的密钥，只在此时显示。请复制下来；程序用它代替 KEY。
serve-key-copied = 已复制
serve-elsewhere = 在其他机器上，请用本机的数字地址代替 127.0.0.1。
serve-open = 当前请求
serve-open-help = 正在进行或等待的回答，其中 { $waiting } 个还没有词元。同时超过 { $most } 个时拒绝新的请求。
serve-rate = 词元/秒
serve-rate-help = 最近十秒内所有回答的词元。
serve-ttft = 首个词元 p50 / p95
serve-ttft-help = 服务器启动以来，一半回答和 95 % 回答的首个词元所需时间；由直方图得出。
serve-slots = 占用的槽位
serve-slots-help = 持有键和值的回答数。内存容得下多少就有多少槽位，其余回答等待。
serve-memory-help = 载有模型的进程所用内存。
served-here = 正在运行的服务器已载入这个变体，本应用也向它提问。

## Servers under load
load-title = 这台机器能服务多少人？
load-intro = 若干客户端同时向每个变体的服务器提问，各自得到回答后立即再问。客户端越多，合计的词元越多，每个客户端也等得越久。
load-clients = 同时的客户端
load-repeats-help = 每种客户端数的次数，每次至少 10 秒；至少 5 次才有区间。
load-empty = 还没有测量过服务器。在本机上，`python -m benchmarks serving` 测量每个变体的服务器，加 `--endpoint URL` 可测量任何 OpenAI 服务器；本应用获准启动服务器时，可用上方的表单完成前者。
load-takes = 除加载外，至少需要 { $minutes } 分钟。
load-beside = 同图的其他测量
load-beside-help = 在同一台机器上、提示与回答长度相同的测量：同一模型，或某个地址上的服务器，例如其他程序的服务器。
load-quantile = 时间的分位数
load-tpot = 每词元时间
load-ttft = 首词时间
load-work = 所有客户端合计的词元/秒
load-how = 点旁的数字是客户端数。越高，完成的工作越多；越靠左，等待越少。取各次重复的中位数；时间取自全部回答。
load-many = 限度以内
load-limit-ttft = 首个词元的限度，秒
load-limit-tpot = 其后每个词元的限度，毫秒
load-most = { $kind ->
    [none] **{ $variant }**：所测的客户端数（{ $measured }）都超出限度。
    [largest] **{ $variant }**：**{ $most }** 个客户端同时提问仍在限度以内，这是所测的最大数目（{ $measured }）。
   *[some] **{ $variant }**：最多 **{ $most }** 个客户端同时提问仍在限度以内（所测：{ $measured }）。
  }
load-most-how = 某个数目在限度以内，是指 95 % 的首词时间和 95 % 的平均每词元时间都不超过限度，失败的请求不超过 5 %，并且所测的更小数目也都如此。
load-goodput = 限度以内的回答/秒
load-goodput-how = 由所存的各次回答的时间算出：每秒回答数乘以同时满足两个限度的比例。
load-goodput-unknown = 有的回答只有一个词元，或全部失败：此处无法得知同时满足两个限度的比例。
load-share = 限度以内
people-intro = **那么人呢？**客户端会立即再问；人要先读完回答，于是为别人留出了时间。
people-reads = 每人的阅读速度，词元/秒
people-reads-help = 中文或英文文章大约为 5。除上面的限度外，词元还要来得这样快。
people-every = 每隔多少秒提问
people-every-help = 从一个问题到下一个问题的时间，但要先读完回答。
people-none = **{ $variant }**：按这样的节奏，所测的负载都超出限度。
people-by-clients = **{ $variant }** 大约能服务 **{ $count } 人**：在 95 % 的时刻，他们之中最多有 { $clients } 人在等待回答，而同时 { $clients } 个客户端是测量过的。
people-by-rate = **{ $variant }** 大约能服务 **{ $count } 人**：他们合计每秒在随机时刻提出 { $rate } 个问题，与所测的相同。
people-largest = 没有测量过更大的负载，所以也许还能服务更多人。
people-how = 这是算出的，不是测得的：回答长度与测量时相同，为 { $answer } 个词元；每 { $cycle } 秒一个问题；每词元最多 { $pace }，使人读时不必等待；时间取自所测的负载。对更大的负载不作推断。

## Overview
overview = 总览
overview-intro = 本机适合运行哪个变体：速度与质量，以及各自占用的内存。
overview-machine = 机器
overview-model-unknown = 此链接所指的模型不能在此打开，现显示内置的演示模型。
overview-machine-unknown = 此链接所指的机器在此没有结果，现显示本机。
overview-elsewhere = 本机上还没有测量结果，但有其他机器的结果：请在上方选择。
fact-parameters = { $count } 参数
fact-disk = 磁盘占用 { $size }
fact-layers = { $layers } 层，隐藏维度 { $hidden }
fact-context = 上下文 { $count } 词元
fact-vocabulary = 词表 { $count } 词元
fact-unknown = 下载之后才能知道其规模与层数
side-speed = 速度
side-memory = 内存
side-quality = 质量
overview-missing = 尚未在这台机器上测量：{ $what }。可用此命令测量：{ $command }
overview-no-quality = 这些权重是随机的，回答没有可以测量的质量。
overview-measure = 立即测量
overview-failed = **{ $variant }** 无法测量：{ $error }
overview-undrawn = 以下变体有一个坐标尚未测量，未画在图中：{ $variants }。
overview-speed = 书写速度（词元/秒）
overview-accuracy = 答对的比例
overview-agreement = 与 original 的一致率
overview-memory = 内存（{ $unit }）
overview-quality = 质量
overview-fits = 放得下
overview-runs = 测量于
overview-how = 速度：提示 { $prompt } 个词元、回答 { $answer } 个词元时的中位数，附 95 % 区间。
overview-how-peak = 内存：回答期间进程占用的峰值。
overview-how-weights = 内存：没有测得峰值，仅计权重。
overview-how-accuracy = 质量：答对未见过的问题的比例。
overview-how-agreement = 质量：变体所选词元与 original 相同的比例。
overview-how-none = 质量尚未测量，因此图中是速度与内存：越靠右下越好。
overview-how-area = 圆的面积表示内存，最大为 { $largest }。
overview-how-front = 虚线连接的是在两方面都不被其他任何变体胜过的变体（帕累托前沿）。
overview-how-hollow = 空心圆放不下：占用超过设备内存 { $total } 的 90 %。
advice-pick = 建议在此运行 **{ $variant }**。
advice-speed = 书写速度是 { $baseline } 的 **{ $ratio } 倍**（{ $rate } 对 { $base } 词元/秒）。
advice-memory = 内存是其 **{ $ratio } 倍**（{ $memory } 对 { $base }）。
advice-first = 其他能保住质量的变体都不比它更好。
advice-same = 权重与 original 相同，质量没有损失。
advice-accuracy = 它答对 { $share } 的问题，{ $baseline } 为 { $base }。
advice-agreement = 在 { $share } 的位置上，它会写出与 original 相同的词元。
advice-careful = 若最看重质量，请选 **{ $variant }**：{ $share }，而不是 { $pick }，速度为 { $rate } 词元/秒。
advice-faster-unknown = 更快、但质量未知的还有：{ $variants }。
advice-too-big = original 放不进此设备的内存，因此只在其余变体之间比较。
advice-no-original = 此处没有测量 original，因此只在其余变体之间比较。
advice-none-fits = 已测速度的变体都放不进此设备的内存。
advice-none-known = 放得下的变体中，没有一个已知能保住质量：请先测量质量。
advice-rule = 规则：先选出占用不超过设备内存 90 %、且质量没有确定比 original（或放得下的最好的变体）低 2 个百分点以上的变体，再推荐其中最快的；速度区间重叠时，取内存最小的。没有测量质量时，只考虑权重与 original 相同的变体。

## Latency
latency-intro = 各变体在本机上阅读提示（预填充）和书写回答（解码）有多快。
prompt-tokens = 提示词元数
repeats = 重复次数
repeats-help = 每种回答的次数；少于 5 次难以看出波动。
measure-beside = { $servers } 正在使用该设备：同时测量，结果标为受干扰（否则拒绝测量）
measure = 开始测量
starting = 正在启动……
time-left = · 大约还需 { $time } 秒
cancel = 取消
cancelling = 正在停止，已测得的结果会保留……
cancelled = 上次测量被取消；已测得的结果保留在下方。
log = 日志
job-waits = { $count ->
    [0] 即将开始
   *[other] 排队中，前面还有 { $count } 项
  }
job-resumes = { $run } 的剩余部分
job-abandoned = 测量进程被外部终止；即将从中断处继续……
latency-empty = 还没有测量结果。请在上方选择变体，然后按“开始测量”：演示模型需要一两分钟。
run = 测量记录
go-on = 继续这次测量
run-empty = { $status ->
    [running] 这次测量还没有数据。
   *[other] 这次测量没有数据。
  }
run-newest = 最近的 { $count } 次测量。更早的在“历史”页面。
run-unknown = 此链接所指的测量 { $run } 不在这里。可请发来链接的人在“历史”页导出，你再在那里导入。
status-done = 已完成
status-cancelled = 已取消
status-failed = 失败
status-running = 进行中
status-interrupted = 中断
ratios = **{ $variant }** 的书写速度与 { $baseline } 相比：{ $ratios }。
ratio = 提示为 { $prompt } 个词元时 **{ $ratio } 倍**{ $interval }
comma = {"，"}
list-comma = {"、"}
sentence-space = {""}
interval = （95 %：{ $low } – { $high }）
decode = 书写（解码）
prefill = 阅读（预填充）
first-token = 首词时间
first-token-one = 所有提示都是 { $prompt } 个词元。想看时间如何随提示变长，请在上方选择多个长度再测一次。
first-token-ratios = **{ $variant }** 的首词时间与 { $baseline } 相比：{ $ratios }。
token-times = 单个词元的时间
token-times-quantiles = p50：首词之后，半数词元的用时不超过此值；p95 与 p99：一百个词元中有 95 个、99 个不超过此值。p99 离 p50 越远，输出越不均匀。区间由整个回答重新抽样得到，不对单个词元抽样。
token-times-all = 用时不超过横轴所示值的词元比例：越靠左越快，越陡越均匀。最慢的千分之几可能在图外。
throughput = 吞吐量与批量
throughput-how = 一批中所有序列的新词元总数除以共同用时；提示 { $prompt } 个词元，回答 { $answer } 个词元。
floor = 与内存带宽相比
floor-axis = 达到下限速度的比例
floor-how = 每写一个词元都要把全部权重读一遍。按本设备复制内存的速度 { $speed } 计算，至少需要：{ $each }。图中 100 % 即为这一下限；提示为 { $prompt } 个词元。放得进处理器缓存的权重读得更快，因此小模型可能超过它。
how-measured = { $n } 次重复的中位数，附 95 % 自助法区间。每次重复中各变体在各自的进程里预热后轮流作答；加载很快时，每次重复都启动新的进程，并各作答多次。
measured-on = 设备：{ $device }（{ $machine }，{ $threads } 线程）。{ $versions }；代码 { $code }。命令：{ $command }
all-numbers = 全部数据
column-metric = 指标
column-params = 测量条件
column-value = 中位数
column-low = 95 % 下限
column-high = 95 % 上限
column-unit = 单位

## Memory
memory-intro = 各变体在本机上占用多少内存，上下文更长、批量更大时占用多少，以及放得进哪种显卡。
memory-empty = 还没有测量过内存。请在上方选择变体，然后按“开始测量”：演示模型大约需要一分钟。
memory-parts = 内存用在哪里
memory-weights = 权重
memory-cache = KV 缓存
memory-rest = 其余
out-of-memory = 内存不足
memory-how = 每个变体在各自的进程中独占本机，取所测的最长提示。权重和 KV 缓存按张量大小计算；回答时的峰值为实测：GPU 上是 PyTorch 分配的显存，CPU 上是整个进程的内存，包括 Python 和 PyTorch。“其余”为峰值减去前两项。红色柱表示该变体内存不足，其高度没有意义。
memory-reach = 放得下什么
context = 上下文（提示与回答的词元合计）
batch = 批量
batch-help = 同时回答的序列数。每个序列有自己的 KV 缓存，权重共用。
memory-fits = 上下文为 { $context } 个词元、批量为 { $batch } 时，{ $variants } 放得进本机设备的 { $memory } 内存。
memory-fits-not = 上下文为 { $context } 个词元、批量为 { $batch } 时，{ $variants } 放不进本机设备的 { $memory } 内存。
memory-longest = 批量为 { $batch } 时本机放得下的最长上下文（词元数，模型本身的上限为 { $limit }）：{ $each }。
memory-below = 所有曲线都远低于最小的显卡（{ $card }），因此没有画出显卡。
this-machine = 本机 { $memory }
memory-computed = 曲线为计算所得：权重加“其余”，再加上每个序列的 KV 缓存，即实测的每词元字节数乘以上下文长度。original 的缓存逐词元增长；fast 引擎的缓存以 64 个词元为一级预留，回答超过 128 个词元并写满时翻倍，因此最多可能占用两倍。“其余”按这里的实测值不变；提示更长、批量更大时会增加，GPU 驱动还要再占几百 MB。1 GB 为 10⁹ 字节。
memory-points = { $batch ->
    [1] 圆点为实测峰值。
   *[other] 峰值是逐个序列测得的，批量为 1 时才显示。
  }
memory-elsewhere = 以上是在 { $device } 上测得的。本机在 { $kind } 上运行模型，权重的字节数和“其余”都可能不同。
cards-title = { $model } 放得进哪些显卡
cards-int8 = KV 缓存用 int8（--cache int8）
cards-fit = 上下文为 { $context } 个词元时，{ $variants } 放得进 { $card } GB 的显卡。
cards-none = 上下文为 { $context } 个词元时，{ $variants } 连 { $card } GB 的显卡也放不下。
cards-work = 读取提示
cards-card = 最小显卡
cards-how = 根据模型的尺寸计算，不需要下载；按 GPU 上以 fp16 进行的一个对话计：变体格式的权重、整个上下文的键和值，以及读取同样长的提示时最多还要占用的内存。驱动和 PyTorch 也要占用显存，因此只按显卡容量的 90 % 计算：4 GB 的显卡剩下 3.6 × 2³⁰ 字节。张量的字节数已在 CPU 上核对，结果一致；在 GPU 上的总量没有实测。如果提示短而回答很长，KV 缓存可能增长到两倍。
fits = 放得下
fits-not = 放不下
column-need = 需要
column-token = 每词元 KV 缓存
column-fits = 在本机
column-longest = 最长上下文

## Quality
quality = 质量
quality-intro = 每个变体在回答上的代价：向所有变体提同样的问题，总取最可能的词元，再各自与原模型比较。
quality-shape = 此模型的权重是随机的，回答谈不上质量。请选 demo 或某个检查点。
quality-empty = 还没有测量结果。请在上方选择变体，然后按“开始测量”：演示模型的每个变体需要几分钟。
questions-each = 每类问题的数量
questions-each-help = 每项技能、每种语言、每种划分（新数字、新说法）的题数。24 即总共约 2,800 题；少则快，但不那么可靠。
own-questions = 或者改用你自己的问题（JSON Lines）
own-questions-help = 每行一个 {"{"}"prompt": "…", "answer": "…"{"}"}；之前还有对话时加上 "history": [["问", "答"]]。困惑度与散度按你给出的答案计算。
accuracy = 答对的比例
perplexity = 困惑度
perplexity-axis = 困惑度（最小为 1）
divergence = 散度（KL）
agreement = 首选词元相同
share-of-questions = 占问题的比例
share-of-tokens = 占词元的比例
nats-per-token = 奈特/词元
axes-fitted = 坐标轴不从零开始，以便看清细小的差别。横线为 95 % 区间。
by-skill = 各项技能答对的比例
questions-in = 问题的语言
both-languages = 两种语言
changed-answers = 与 { $baseline } 不同的回答
changes = **{ $variant }** 在 { $asked } 题中由对变错 { $lost } 题，由错变对 { $won } 题；另有 { $other } 个回答变了，但对错未变。
changes-sure = 若只凭偶然，两者相差至此的概率为 { $p }：差别是真实的。
changes-chance = 若只凭偶然，两者相差至此的概率为 { $p }：看不出差别。
lost = 由对变错
won = 由错变对
changed-otherwise = 变了
column-change = 变化
column-skill = 技能
column-expected = 标准答案
asked-held-out = 这些问题没有用于演示模型的训练；回答非对即错。
asked-own = 问题来自 { $file }。没有人说明还有哪些回答是对的，因此比较的是似然。
how-judged = 每个变体在各自的进程中回答。困惑度、散度与首选词元按标准答案的词元计算；原模型的部分逐层算一次并保存。区间均为 95 %：问题的比例用 Wilson 法，其余对问题作自助法。

## History
history = 历史
any = 不限
history-intro = 这里保存的全部测量。选中一条可查看数据，选中两条可进行比较。
history-empty = 这里还没有测量记录。请在“延迟”页进行测量，或在下方导入记录文件。
history-search = 搜索
history-search-help = 可搜索编号、模型、变体、机器、代码版本或命令中的词。已选中的记录不受筛选影响，始终留在表中。
history-count = 共 { $all } 条记录，符合条件的有 { $found } 条{ $hidden ->
    [0] 。
   *[other] ；表中列出最新的 { $shown } 条，其余可通过筛选找到。
  }
history-unknown = 此链接所指的记录 { $runs } 已被删除或不在这里。已删除的记录可在下方恢复，他人导出的文件可在下方导入。
history-select = 在表中选中一条记录可查看数据，选中两条可进行比较：点击行首的方框，或按空格键。
column-when = 时间
column-suites = 测量内容
column-machine = 机器
column-code = 代码版本
column-status = 状态
column-verdict = B 的结论
facts = 测量条件
fact-settings = 设置
fact-versions = 版本
fact-command = 命令
html-report = 网页报告
export = 导出 { $count } 条记录
export-help = JSON 包含全部内容，可在别处继续比较；CSV 和 Parquet 供其他程序使用，每个测量值一行。
import = 导入记录
import-help = 在这里或别处导出的 .json 文件。已有的记录不会重复添加。
importing = 正在导入……
imported = { $name }：新增 { $new } 条，补全 { $completed } 条，已有 { $known } 条，拒绝 { $refused } 条。
import-refused = 若记录的数据与这里同一编号的记录不同，则拒绝导入。
delete = { $count ->
    [0] 删除
   *[other] 删除 { $count } 条记录
  }
delete-running = 正在进行的测量不能删除：请先取消，或等它结束。
deleted = 已删除 { $count } 条记录。
undo = 撤销
recently-deleted = 最近删除（{ $count }）
deleted-help = 删除的记录会保留 { $days } 天。请选中要恢复的记录。
restore = { $count ->
    [0] 恢复
   *[other] 恢复 { $count } 条记录
  }
two-runs = 两次测量的比较
two-axis = B 与 A 之比（对数坐标）
two-how = A 是较早的一次。每个比值为 B 各次重复的几何平均除以 A 的，附 95 % 区间（对数上的 Welch t 区间）。实心：B 确定更好；叉号：确定更差；空心：区间包含 1，无法断定，或两者相等。大于 1 表示数值更大：对速率是好事，对时间和内存是坏事。
verdicts = 以 95 % 的置信水平，下列各项中 B 更好的有 { $better } 项，更差 { $worse } 项，无法断定 { $undecided } 项，相等 { $equal } 项。
verdict-better = 更好
verdict-worse = 更差
verdict-undecided = 无法断定
verdict-equal = 相等
trend = 随代码版本的变化
trend-empty = 所选的记录没有这项数据：请换一个指标、变体或机器。
trend-axis = 按时间排列的测量；代码版本变化处标出版本
trend-how = 每个点是在 { $machine } 上的一次测量：所记录的数值及其 95 % 区间，左旧右新，最多取最新的 200 次。{ $metric }：{ $meaning }。

## Limits
limits-intro = 以今天的标准看，ChatGLM-6B 及其后继都是小模型。它们说错的时候同样流畅，重要的内容请务必核实。压缩只会加重这些局限。
limits-facts = 事实
limits-facts-body = 它们会编造人名、日期、引文、法条和出处，越冷门的话题越严重；对训练之后的事一无所知（ChatGLM-6B 训练于 2023 年）。
limits-logic = 逻辑与算术
limits-logic-body = 多位数运算、较长的推理和代码容易出错，同一个回答里也可能自相矛盾。
limits-bias = 偏见与危害
limits-bias-body = 它们会重复训练文本中的偏见，可能被引导说出冒犯或危险的内容，也容易顺着诱导性的问题回答。
limits-self = 自我认知
limits-self-body = 它们对自己的作者、规模、能力和版本的说法只是猜测，也可能被说服改口。
limits-english = 英文
limits-english-body = ChatGLM-6B 的训练文本中英文大致各半，但主要以中文微调：英文能力较弱，可能用中文作答，或与自己的中文回答相矛盾。
limits-context = 记忆
limits-context-body = ChatGLM-6B 只能看到 2048 个词元，后来的模型为 8192 或更多。对话更长时，最早的轮次会被略去，页面会给出提示。
limits-compressed = 压缩后的变体
limits-compressed-body = 比特数越少，改变的回答越多。“对比”页显示两段文字从哪里开始不同；仅凭这一点不能说明哪个更好。
limits-demo = 演示模型
limits-demo-body = 内置的演示模型只是个玩具，用程序生成的问答在两个处理器核心上训练了几个小时。它展示一切都能运行，而不需要下载任何东西。它不了解世界，其速度和内存也不能代表 60 亿参数的模型：要看后者，请选择 `shape:chatglm-6b`，即原始结构加随机权重。
limits-duty = 向他人展示模型的人，要为模型在那里说的话负责。每个已发布模型的权重都另有许可协议。
