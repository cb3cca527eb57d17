"""What the voice chain costs for each chunk of four characters, shaper by shaper and whole."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from offhook.speech.chain import Chain
from offhook.speech.rules import SHAPERS, speech_of
from offhook.speech.sentences import SentenceSplitter

if TYPE_CHECKING:
    from collections.abc import Callable

    Maker = Callable[[], Chain]
    Feed = Callable[[str], object]

# So many characters come in a chunk: what a token of a model is long, or a little less.
CHUNK = 4
CHUNKS = 20_000
ROUNDS = 7
TARGET_US = 3.0
OPENINGS = ("<imsagent_", "<No Interrupting")

PLAIN_EN = (
    "Sure, I can help you with that. Your order was sent on Monday and should arrive tomorrow between ten and noon. "
    "The driver will call you half an hour before. Is there anything else that I can do for you today? "
)
PLAIN_ZH = (
    "您好，您的订单已经在周一发出，预计明天上午十点到十二点之间送达。"
    "快递员会提前半小时给您打电话。请问还有什么可以帮您的吗？"
)
DENSE_EN = (
    "## Your plan\n\nYou have **two options** :) \n\n1. **Basic**: `5 GB` of data, *no* contract.\n2. **Plus**: 20 GB, "
    "see [the page](https://www.example.com/plus).\n\n- Write to help@example.com\n- Call us ☎️ before 5 p.m. ✅\n\n"
    "```sh\noffhook serve --port 8080\n```\n\nThat is all, have a *nice* day! 😊\n\n"
)
DENSE_ZH = (
    "### 您的套餐\n\n**两种选择**：\n\n1. **基础版**：`5GB` 流量，*无*合约。\n2. **升级版**：20GB，见[网页](https://www.example.com/plus)。"
    "\n\n- 发邮件到help@example.com\n- 下午五点前来电 ☎️ ✅\n\n```sh\noffhook serve\n```\n\n就这些，祝您愉快！😊\n\n"
)
# As models answer when nobody tells them that they are heard.
MARKED_EN = (
    "There are a few things that you can do when your router does not connect:\n\n1. **Check the cables**: make sure "
    "that the power cable and the network cable sit tightly, and that the lamp on the front is green.\n"
    "2. **Restart it**: switch the router off, wait for about half a minute, and switch it on again.\n"
    "3. **Look at the settings**: open the page of your router and see whether name and password are right.\n\n"
    "If nothing of this helps, write to our support and tell them the number that stands on the back of the device.\n\n"
)
MARKED_ZH = (
    "如果路由器连不上网，可以先试试下面几个办法：\n\n"
    "1. **检查线路**：看看电源线和网线有没有插紧，前面的指示灯是不是绿色的。\n"
    "2. **重新启动**：把路由器关掉，等半分钟左右，再重新打开，一般几分钟就能恢复正常。\n"
    "3. **查看设置**：打开路由器的管理页面，确认宽带账号和密码有没有填错。\n\n"
    "如果这些办法都不管用，请联系我们的客服，并告诉他们机器背面的编号，我们会尽快安排人上门检查。\n\n"
)
TEXTS = {
    "plain, English": PLAIN_EN,
    "plain, Chinese": PLAIN_ZH,
    "marked, English": MARKED_EN,
    "marked, Chinese": MARKED_ZH,
}
# A mark in nearly every chunk, which no model writes: what the worst costs.
DENSE = {"dense, English": DENSE_EN, "dense, Chinese": DENSE_ZH}


def shapers() -> dict[str, Maker]:
    """Give what makes each shaper, in the order of the chain."""
    return {name: partial(speech_of(f"{name},-tags" if name != "tags" else name).chain, OPENINGS) for name in SHAPERS}


def chunks_of(text: str) -> list[str]:
    """Give so many chunks of a text, which is repeated as often as it takes."""
    whole = text * (CHUNKS * CHUNK // len(text) + 1)
    return [whole[place : place + CHUNK] for place in range(0, CHUNKS * CHUNK, CHUNK)]


def chain(make: Maker) -> Feed:
    """Give what takes the chunks of a reply that the chain shapes."""
    return make().feed


def cut(make: Maker) -> Feed:
    """Give what takes the chunks of a reply that the chain shapes and that is cut into sentences."""
    feed, split = make().feed, SentenceSplitter().feed
    return lambda text: split(feed(text))


def cost(make: Callable[[], Feed], chunks: list[str]) -> float:
    """Give the microseconds of CPU that a chunk takes, the median of some rounds; each begins a reply."""
    rounds = []
    for _ in range(ROUNDS):
        feed = make()
        begun = time.process_time_ns()
        for chunk in chunks:
            feed(chunk)
        rounds.append((time.process_time_ns() - begun) / len(chunks) / 1000)
    return round(statistics.median(rounds), 3)


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each shaper alone, the chain of all, and the chain with its sentences, on each text."""
    whole = partial(speech_of("default").chain, OPENINGS)
    ways: dict[str, Callable[[], Feed]] = {
        **{name: partial(chain, make) for name, make in shapers().items()},
        "sentences": partial(cut, Chain),
        "chain": partial(chain, whole),
        "chain and sentences": partial(cut, whole),
    }
    texts = {name: chunks_of(text) for name, text in {**TEXTS, **DENSE}.items()}
    rows = []
    chain_us: dict[str, float] = {}
    for name, make in ways.items():
        say(f"speech: {name}")
        us = {text: cost(make, chunks) for text, chunks in texts.items()}
        rows.append({"what": name, "us_chunk": us})
        chain_us = us if name == "chain" else chain_us
    worst = max(chain_us[text] for text in TEXTS)
    return {
        "rows": rows,
        "chunk": CHUNK,
        "chunks": CHUNKS,
        "worst_us": worst,
        "dense_us": max(chain_us[text] for text in DENSE),
        "target_us": TARGET_US,
        "holds": worst < TARGET_US,
    }
