"""The table of kinds: name, sound group, look group, subjects, manners, and the words for them.

Two columns decide which stream can tell kinds apart:

* Kinds of one ``sound_group`` are made by the same synthesiser with the same distribution: only **video** tells them apart.
* Kinds of one ``look_group`` are drawn by the same function with the same distribution: only **audio** tells them apart.

A group of one kind is told by either stream.
"""

from __future__ import annotations

from avcap.scenes.kind import Kind

_ENGINE = {
    "idle": ("idles/idling", "runs steadily/running steadily", "runs/running"),
    "rev": ("revs loudly/revving loudly", "accelerates/accelerating", "revs/revving"),
}
_TALK = {
    "slow": ("speaks slowly/speaking slowly", "talks slowly/talking slowly", "speaks/speaking", "talks/talking"),
    "fast": ("speaks quickly/speaking quickly", "talks fast/talking fast", "speaks/speaking", "talks/talking"),
}

TABLE: tuple[Kind, ...] = (
    # Alike in sound, different in look: engines, patter, blows.
    Kind(
        "truck",
        "engine",
        "truck",
        ("a truck", "a truck engine", "a large truck"),
        _ENGINE,
        ambient=True,
    ),
    Kind(
        "motorboat",
        "engine",
        "motorboat",
        ("a motorboat", "a motorboat engine", "a speed boat"),
        _ENGINE,
        ambient=True,
    ),
    Kind(
        "motorcycle",
        "engine",
        "motorcycle",
        ("a motorcycle", "a motorcycle engine", "a motorbike"),
        _ENGINE,
        ambient=True,
    ),
    Kind(
        "rain",
        "hiss",
        "umbrella",
        ("rain", "rain", "the rain"),
        {
            "light": ("falls lightly/falling lightly", "patters softly/pattering softly", "falls/falling"),
            "heavy": ("pours down heavily/pouring down heavily", "falls heavily/falling heavily", "falls/falling"),
        },
        ambient=True,
    ),
    Kind(
        "applause",
        "hiss",
        "hands",
        ("people", "people", "a crowd of people"),
        {
            "light": ("clap politely/clapping politely", "applaud softly/applauding softly", "clap/clapping"),
            "heavy": ("applaud loudly/applauding loudly", "clap eagerly/clapping eagerly", "clap/clapping"),
        },
        plural=True,
        ambient=True,
    ),
    Kind(
        "frying",
        "hiss",
        "pan",
        ("food", "food", "meat"),
        {
            "light": (
                "sizzles gently in a pan/sizzling gently in a pan",
                "fries softly/frying softly",
                "sizzles/sizzling",
            ),
            "heavy": (
                "sizzles loudly in a pan/sizzling loudly in a pan",
                "fries rapidly/frying rapidly",
                "sizzles/sizzling",
            ),
        },
        ambient=True,
    ),
    Kind(
        "hammer",
        "knock",
        "hammer",
        ("a hammer", "a hammer", "someone with a hammer"),
        {
            "slow": ("pounds slowly/pounding slowly", "strikes wood slowly/striking wood slowly", "pounds/pounding"),
            "fast": (
                "pounds rapidly/pounding rapidly",
                "strikes wood quickly/striking wood quickly",
                "pounds/pounding",
            ),
        },
    ),
    Kind(
        "footsteps",
        "knock",
        "shoes",
        ("someone", "a person", "someone"),
        {
            "slow": (
                "walks slowly with heavy footsteps/walking slowly with heavy footsteps",
                "takes slow footsteps/taking slow footsteps",
                "walks/walking",
            ),
            "fast": (
                "runs with quick footsteps/running with quick footsteps",
                "takes rapid footsteps/taking rapid footsteps",
                "runs/running",
            ),
        },
    ),
    Kind(
        "door",
        "knock",
        "door",
        ("someone", "a person", "a hand"),
        {
            "slow": (
                "knocks slowly on a door/knocking slowly on a door",
                "taps slowly on a door/tapping slowly on a door",
                "knocks/knocking",
            ),
            "fast": (
                "knocks rapidly on a door/knocking rapidly on a door",
                "bangs quickly on a door/banging quickly on a door",
                "knocks/knocking",
            ),
        },
    ),
    # Alike in look, different in sound: one dog, one woman, one phone, one storm cloud, one police car.
    Kind(
        "bark", "bark", "dog", ("a dog", "a dog", "a small dog"), {"": ("barks/barking", "yaps/yapping")}, period=0.45
    ),
    Kind("growl", "growl", "dog", ("a dog", "a dog", "an angry dog"), {"": ("growls/growling", "snarls/snarling")}),
    Kind("whimper", "whimper", "dog", ("a dog", "a dog", "a sad dog"), {"": ("whimpers/whimpering", "whines/whining")}),
    Kind("woman speaking", "speak_woman", "woman", ("a woman", "a woman", "an adult female"), _TALK),
    Kind(
        "woman singing",
        "sing",
        "woman",
        ("a woman", "a woman", "an adult female"),
        {"": ("sings/singing", "sings a song/singing a song")},
    ),
    Kind(
        "woman laughing",
        "laugh",
        "woman",
        ("a woman", "a woman", "an adult female"),
        {"": ("laughs/laughing", "giggles/giggling")},
    ),
    Kind(
        "telephone",
        "ring",
        "device",
        ("a telephone", "a telephone", "a phone"),
        {"": ("rings/ringing", "rings loudly/ringing loudly")},
    ),
    Kind(
        "alarm",
        "beep",
        "device",
        ("an alarm", "an alarm", "an alarm clock"),
        {
            "slow": ("beeps slowly/beeping slowly", "beeps steadily/beeping steadily", "beeps/beeping"),
            "fast": ("beeps rapidly/beeping rapidly", "beeps quickly/beeping quickly", "beeps/beeping"),
        },
    ),
    Kind(
        "thunder",
        "thunder",
        "cloud",
        ("thunder", "thunder", "loud thunder"),
        {"": ("rumbles/rumbling", "roars/roaring")},
        period=1.45,
    ),
    Kind(
        "wind",
        "wind",
        "cloud",
        ("wind", "wind", "the wind"),
        {
            "gust": ("blows in strong gusts/blowing in strong gusts", "gusts/gusting", "blows/blowing"),
            "steady": ("blows steadily/blowing steadily", "howls/howling", "blows/blowing"),
        },
        ambient=True,
    ),
    Kind(
        "siren",
        "siren",
        "police car",
        ("a siren", "an emergency siren", "a police car siren"),
        {
            "wail": ("wails/wailing", "sounds/sounding"),
            "yelp": ("yelps rapidly/yelping rapidly", "whoops quickly/whooping quickly", "sounds/sounding"),
        },
    ),
    Kind(
        "horn",
        "horn",
        "police car",
        ("a car horn", "a vehicle horn", "a car"),
        {"": ("honks/honking", "beeps/beeping")},
        period=0.7,
    ),
    # Alone in both.
    Kind("cat", "meow", "cat", ("a cat", "a cat", "a kitten"), {"": ("meows/meowing", "mews/mewing")}, period=0.75),
    Kind(
        "rooster",
        "crow",
        "rooster",
        ("a rooster", "a rooster"),
        {"": ("crows/crowing", "crows loudly/crowing loudly")},
        period=1.3,
    ),
    Kind(
        "bird",
        "chirp",
        "bird",
        ("a bird", "a bird", "a small bird"),
        {"": ("chirps/chirping", "tweets/tweeting", "sings/singing")},
        ambient=True,
    ),
    Kind(
        "duck",
        "quack",
        "duck",
        ("a duck", "a duck"),
        {"": ("quacks/quacking", "quacks loudly/quacking loudly")},
        period=0.42,
    ),
    Kind(
        "bell",
        "bell",
        "bell",
        ("a church bell", "a bell", "a large bell"),
        {"": ("rings/ringing", "chimes/chiming", "tolls/tolling")},
        period=1.2,
    ),
    Kind(
        "clock",
        "tick",
        "clock",
        ("a clock", "a clock"),
        {
            "slow": ("ticks slowly/ticking slowly", "ticks steadily/ticking steadily", "ticks/ticking"),
            "fast": ("ticks rapidly/ticking rapidly", "ticks quickly/ticking quickly", "ticks/ticking"),
        },
        ambient=True,
    ),
    Kind("baby", "cry", "baby", ("a baby", "a baby", "an infant"), {"": ("cries/crying", "wails/wailing")}),
    Kind(
        "helicopter",
        "rotor",
        "helicopter",
        ("a helicopter", "a helicopter", "an aircraft"),
        {
            "hover": ("hovers/hovering", "flies overhead/flying overhead", "flies/flying"),
            "pass": ("flies past/flying past", "passes by/passing by", "flies/flying"),
        },
        ambient=True,
    ),
    Kind(
        "water",
        "water",
        "tap",
        ("water", "water", "tap water"),
        {
            "run": ("runs from a faucet/running from a faucet", "splashes into a sink/splashing into a sink"),
            "drip": ("drips slowly/dripping slowly", "drips from a faucet/dripping from a faucet"),
        },
        ambient=True,
    ),
    Kind(
        "waves",
        "waves",
        "waves",
        ("waves", "ocean waves", "waves"),
        {"": ("crash/crashing", "crash on the shore/crashing on the shore")},
        plural=True,
        ambient=True,
    ),
    Kind("man", "speak_man", "man", ("a man", "a man", "an adult male"), _TALK),
    Kind("child", "speak_child", "child", ("a child", "a child", "a young girl"), _TALK),
)
"""All kinds, grouped by what tells them apart."""
