## Pages and frame
about = **FAST-ChatGLM**：与 ChatGLM 对话，压缩它，并在本机上测量每个变体的得与失。
language = 语言
chat = 对话
compare = 对比
latency = 延迟
limits = 局限
device-looking = 正在查看本机硬件……
device-unknown = 无法获知本机硬件，详见终端。
device-memory = 内存 { $total }
device-capability = 计算能力 { $version }
device-cores = { $cores } 核，{ $threads } 线程

## Choices
model = 模型
model-demo = demo（内置）
model-help = 内置的演示模型、本机上的检查点，或自行输入的 hub id，例如 zai-org/chatglm-6b。
variant = 变体
variants = 变体
settings = 采样
top-p = Top-p
top-p-help = 只在概率累计到该值的最可能词元中选取。
temperature = 温度
temperature-help = 越高越多样；0 表示总取最可能的词元。
max-length = 最大长度（词元）
max-length-help = 提示与回答合计。ChatGLM-6B 的上下文为 2048。
seed = 随机种子
seed-none = 随机
seed-help = 种子、问题和设置都相同，回答也相同。

## Chat
chat-empty = 请用中文或英文提问。首次回答需要加载模型，会慢一些。
chat-input = 输入消息
conversation = 会话
clear = 清空
save = 保存为文件
load = 从文件载入
not-a-conversation = { $name } 不是本应用保存的会话，当前会话保持不变。请选择由“保存为文件”得到的文件。
stop = 停止
again = 重新回答
try-again = 重试
no-answer = 没有回答。
loading-start = 正在为 { $variant } 启动进程……
loading = 正在加载 { $variant }…… { $done } / { $total }
warming = 正在预热……
waiting = 正在等待设备：{ $holder }
queued = { $count ->
    [0] 下一个就是您
   *[other] 前面还有 { $count } 个回答
  }
thinking = 正在阅读问题……
figure-tokens = { $count } 个词元
figure-ttft = 首词 { $seconds } 秒
figure-rate = { $rate } 词元/秒
figure-memory = 占用 { $memory }
rounds-left-out = 最早的 { $count } 轮对话超出上下文，未被使用。
stopped-length = 已达到最大长度。
stopped-user = 已停止。

## Compare
compare-intro = 同一个问题，两个变体。默认先后回答，互不拖慢。
prompt = 问题
compare-prompt = 法国的首都是哪里？
compare-go = 对比
answer-tokens = 回答的词元数
race = 竞速
race-help = 两者同时回答。好看，但会互相拖慢，所测时间不可比较。
race-warning = 竞速：两者同时运行、互相拖慢，所测时间不可比较。
texts-equal = 两段文字完全相同（{ $count } 个字符）。
texts-part = 两段文字从第 { $at } 个字符开始不同。
speed-ratio = 速度，B 比 A
speed-ratio-help = 首词之后每秒词元数，B 除以 A；大于 1 表示 B 更快。
memory-ratio = 内存，B 比 A
memory-ratio-help = 回答之后各自进程的内存，B 除以 A。在 CPU 上为整个进程所占，包括 PyTorch 本身。
tokens-per-second = 词元/秒
compare-how = 每个变体各回答一次，独占设备，先行预热，总取最可能的词元。一次回答不足以统计：“延迟”页会重复测量并给出区间。

## Latency
latency-intro = 各变体在本机上阅读提示（预填充）和书写回答（解码）有多快。
prompt-tokens = 提示词元数
repeats = 重复次数
repeats-help = 每种回答的次数；少于 5 次难以看出波动。
measure = 开始测量
starting = 正在启动……
time-left = · 大约还需 { $time } 秒
cancel = 取消
cancelling = 正在停止，已测得的结果会保留……
cancelled = 上次测量被取消；已测得的结果保留在下方。
latency-empty = 还没有测量结果。请在上方选择变体，然后按“开始测量”：演示模型需要一两分钟。
run = 测量记录
run-empty = 这次测量没有数据。
run-unknown = 此链接所指的测量 { $run } 不在这里，现显示另一次。发链接的人可在“历史”页导出它，你再在那里导入。
status-done = 已完成
status-cancelled = 已取消
status-failed = 失败
status-running = 进行中
status-interrupted = 中断
ratios = **{ $variant }** 的书写速度与 { $baseline } 相比：{ $ratios }。
ratio = 提示为 { $prompt } 个词元时 **{ $ratio } 倍**{ $interval }
comma = {"，"}
interval = （95 %：{ $low } – { $high }）
decode = 书写（解码）
prefill = 阅读（预填充）
how-measured = 每项为 { $n } 次回答的中位数，附 95 % 自助法区间；各变体在各自的进程中预热后轮流回答。
measured-on = 设备：{ $device }（{ $machine }，{ $threads } 线程）。{ $versions }；代码 { $code }。命令：`{ $command }`
all-numbers = 全部数据
column-metric = 指标
column-params = 测量条件
column-value = 中位数
column-low = 95 % 下限
column-high = 95 % 上限
column-unit = 单位

## Limits
limits-intro = 以今天的标准看，ChatGLM-6B 是个小模型。它说错的时候同样流畅，重要的内容请务必核实。压缩只会在以下问题之上再添问题。
limits-facts = 事实
limits-facts-body = 它会编造人名、日期、引文、法条和出处，越冷门的话题越严重；对 2023 年训练之后的事一无所知。
limits-logic = 逻辑与算术
limits-logic-body = 多位数运算、较长的推理和代码容易出错，同一个回答里也可能自相矛盾。
limits-bias = 偏见与危害
limits-bias-body = 它会重复训练文本中的偏见，可能被引导说出冒犯或危险的内容，也容易顺着诱导性的问题回答。
limits-self = 自我认知
limits-self-body = 它对自己的作者、规模、能力和版本的说法只是猜测，也可能被说服改口。
limits-english = 英文
limits-english-body = 它的训练文本中英文大致各半，但主要以中文微调：英文能力较弱，可能用中文作答，或与中文回答相矛盾。
limits-context = 记忆
limits-context-body = 它只能看到 2048 个词元。对话更长时，最早的轮次会被略去，页面会给出提示。
limits-compressed = 压缩后的变体
limits-compressed-body = 更少的比特会改变一部分回答。“对比”页显示两段文字从哪里开始不同；仅凭这一点不能说明哪个更好。
limits-demo = 演示模型不是什么
limits-demo-body = 内置的演示模型只是个玩具，用程序生成的问答训练了几分钟，用来在不下载任何东西的情况下展示一切都能运行。它不了解世界，其速度和内存也不能代表 60 亿参数的模型：要看后者，请选择 `shape:chatglm-6b`，即原始结构加随机权重。
limits-duty = 谁向他人展示模型，谁就要为它在那里说的话负责。ChatGLM-6B 的权重另有许可协议。
