## Remarks on the figures of a run, or of two runs
remark-status = 此次测量的状态为“{ $status ->
    [done] 已完成
    [cancelled] 已取消
    [failed] 失败
    [running] 进行中
    [interrupted] 中断
   *[other] { $status }
  }”：数据可能少于所要求的
remark-busy = 其他程序占用了处理器的 { $share }：此时测得的时间不可信
remark-blocks = 各变体是分段测量的，而不是轮流测量：机器状态的漂移没有抵消
remark-streamed = 内存放不下 { $variant }：其回答是逐层计算的，或来自别处（{ $made }）
remark-exact = 困惑度、KL 与首选词元按精确算术计算，只反映权重的误差（{ $variants }）；回答仍按解码方式生成
remark-decoding = 困惑度、KL 与首选词元按解码算术计算，激活值的舍入误差也算在内（{ $variants }）
remark-lower-bound = KL 只是下界，实测偏低 22 至 33 %：每个词元只保存了 64 个最大的 logit
remark-few = 只重复了 { $repeats } 次：少于 { $enough } 次的区间说明不了多少
remark-budget = 重复 { $repeats } 次后时间用尽：区间比所要求的 ± { $wanted } 宽
remark-maximum = 已达到最多 { $repeats } 次重复：区间比所要求的 ± { $wanted } 宽
remark-one-process = 每个变体只在一个进程中测量：模型较小时，同一变体的两个进程之间会相差 1 至 2 %
remark-noise-other-load = 有干扰：测量期间其他程序平均占用处理器的 { $mean }，最多 { $most }
remark-noise-memory-short = 有干扰：{ $total } 内存中有时只剩 { $free }
remark-noise-throttled = 有干扰：处理器因过热降频 { $events } 次
remark-noise-clock-limited = 有干扰：系统只允许处理器最高频率的 { $share }
remark-noise-gpu-slowed = 有干扰：GPU 为不超过功耗或温度上限而降速
remark-noise-drift = 有干扰：后一半重复与前一半相差 { $by }
remark-noise-spread = 有干扰：相同内容的各次重复相差达 { $largest }
remark-noise-beside = 有干扰：测量期间 { $server } 在同一设备上提供服务
remark-noise-client-lag = 有干扰：客户端自身有延迟，最多达首词时间的 { $share }
remark-noise-warm-up = 有干扰：预热结束时回答仍在变快
remark-endpoint = 此次通过网络测量一个服务；所列机器是客户端所在的机器
remark-chunks = { $variant } 没有给出用量：回答的每个数据块算作一个词元
remark-early-ends = 无法要求 { $variant } 的回答达到全长：有些回答可能提前结束
remark-differ = 两次测量的{ $what ->
    [model] 模型
    [code] 代码版本
    [processor] 处理器
    [device] 设备
    [torch] torch 版本
    [arithmetic] 算术
   *[other] { $what }
  }不同：{ $one } → { $other }
remark-starts = 两次启动之间的差异（内存布局、温度）不在两次测量的区间之内
remark-unknown = 此版本不认识 { $metric }：请更新 FAST-ChatGLM 再作比较
remark-bound-left-out = KL 未作比较：其中一次测量只有下界，两者不可比
remark-vocabulary-left-out = { $variant } 的困惑度未作比较：两者词表不同，改用每字节比特数
remark-left-out = { $variant } 的 { $metric } 未作比较：其中有零，或没有双方都有的重复
remark-single = 只有一次重复看不出波动：这样的行无法断定
remark-alone = 各行单独判断：即使毫无差别，也约有二十分之一会被判为更好或更差
remark-failed-in-b = { $variant }：{ $suite } 只在 B 中失败：{ $error }

## Metrics
meaning-ttft = 从请求到首个词元的时间（提示以词元编号发送）
meaning-prefill-rate = 提示词元数除以首词时间
meaning-decode-latency = 首词之后相邻词元间隔的分位数
meaning-acceptance = 投机解码中，一个回答的草稿词元被采纳的比例
meaning-decode-rate = 单个序列首词之后的新词元数除以其用时
meaning-throughput = 一批中所有序列的新词元数除以总用时，包括阅读提示
meaning-request-rate = 在负载的稳定阶段，服务每秒完成的回答数
meaning-goodput = 首词时间与平均每词元时间都在限度（slo）之内的回答数，每秒
meaning-time-per-token = 各请求的分位数：一个回答首词之后相邻词元间隔的平均值
meaning-answer-time = 各请求的分位数：从请求到回答结束的时间
meaning-error-share = 失败或中途断开的请求所占的比例
meaning-served-clients = 首词时间与每词元时间的 p95 都在限度（slo）之内的最大客户端数（较少的也都须如此）；没有则为 0
meaning-energy = 一次回答期间处理器或 GPU 每词元的能耗，包括其上运行的一切
meaning-load-time = 从调用加载到可以回答的时间
meaning-disk-size = 变体所加载文件的大小
meaning-weights-memory = 权重占用的设备内存，计算所得
meaning-cache-memory = 回答结束时 KV 缓存占用的设备内存，计算所得
meaning-peak-memory = 独立进程的内存峰值：GPU 上为分配器所分配，CPU 上为常驻内存
meaning-decode-rate-ratio = 逐对计算的 decode_rate 与基准之比：大于 1 更快
meaning-ttft-ratio = 逐对计算的 ttft 与基准之比：小于 1 更快
meaning-throughput-ratio = 逐对计算的 throughput 与基准之比：大于 1 更快
meaning-skill-accuracy = 答对未见过的问题的比例，总取最可能的词元
meaning-perplexity = 标准答案每词元平均交叉熵的指数
meaning-bits-per-byte = 标准答案每个 UTF-8 字节的交叉熵
meaning-kl-divergence = 标准答案每词元的 KL(original ‖ 变体)：均值、p99 与最大值
meaning-top1-agreement = 在标准答案的词元上，首选词元与 original 相同的比例
meaning-failure = 该变体未能测量；params 说明在何处失败、为何失败
