"""What went wrong with the broker, in four parts: exceptions and MQTT reason codes into words.

Reason codes: MQTT 5.0, section 2.4; for PUBACK section 3.4.2.1.
"""

from __future__ import annotations

import errno
import socket
import ssl

from agent.errors import BrokerError
from agent.timebase import TimeQuality, measure_mark, rfc3339
from agent.uplink.settings import BrokerConfig

FAILURE = 0x80
NO_MATCHING_SUBSCRIBERS = 0x10
"""Reason codes from here on are refusals."""

NOT_AUTHORISED = 0x87
PACKET_TOO_LARGE = 0x95

# openssl/x509_vfy.h: the leaf, the root or one between is not to be had; of names, host and IP address
_STRANGE = frozenset({18, 19, 20, 21})
_NAMES = frozenset({62, 64})
_OF_THE_DATE = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED

RETRY_LATER = frozenset({0x89, 0x91, 0x97})
"""Server busy, packet identifier in use, quota exceeded: the record is good, the moment is not."""

PROTOCOL_ERROR = 0x82
TAKEN_OVER = 0x8E

BLAMES_RECORD = frozenset({0x81, PROTOCOL_ERROR, NOT_AUTHORISED, 0x90, PACKET_TOO_LARGE, 0x99})
"""Ends of a connection that a single PUBLISH can bring about: malformed, protocol error, not authorised,
topic name, too large, payload format. Protocol error is also what we call an answer that is no MQTT:
mosquitto 2.0 answers a PUBLISH beyond its message_size_limit with a PUBACK of 0x95, which PUBACK has not."""

_CONNACK_HINTS = {
    0x81: "Check that an MQTT broker listens there.",
    0x84: 'Set protocol = "3.1.1" under [broker].',
    0x85: "Choose another client_id under [broker].",
    0x86: "Check username and password_file under [broker], and the broker's password list.",
    0x87: "Check username, password_file and certificate under [broker], and the broker's access list.",
    0x88: "Wait, or ask whoever runs the broker.",
    0x89: "Wait: the agent tries again by itself.",
    0x8A: "Ask whoever runs the broker why it bans this box.",
    0x8C: "This broker wants a kind of authentication that the agent does not speak.",
    0x97: "The broker's quota is used up; ask whoever runs it.",
    0x9A: "The broker keeps no retained messages; the status topic needs them.",
    0x9C: "The broker sends its clients elsewhere for now; if it stays so, change host under [broker].",
    0x9D: "The broker has moved; change host under [broker].",
    0x9F: "Wait: the agent tries again by itself.",
}

# of a DISCONNECT; 0x8E, another client of our name, has words of its own (taken_over)
_DISCONNECT_HINTS = {
    0x82: "If it happens often, see the broker's log: it did not understand what the agent sent, or the "
    "other way round.",
    0x87: "Check what the broker's access list lets this box do.",
    0x89: "The broker has too much to do at the moment.",
    0x8B: "The broker is shutting down, or starts anew: records wait until it is back.",
    0x8D: "The line was silent for longer than keepalive_s under [broker]: check the network.",
    0x95: "A record is larger than the broker takes: `cargobox outbox stats` counts what it refused.",
    0x96: "The broker wants fewer messages a second: raise its limit, or lower [upload] budget.",
    0x97: "The broker's quota is used up: ask whoever runs it.",
    0x98: "Somebody ended the connection at the broker: ask whoever runs it.",
    0x9C: "The broker sends its clients elsewhere for now; if it stays so, change host under [broker].",
    0x9D: "The broker has moved: change host under [broker].",
    0x9F: "Somebody connects too often for this broker; the agent waits longer each time.",
    0xA0: "The broker ends each connection after a while: that is its rule, and no harm.",
}


def connection_error(config: BrokerConfig, error: Exception) -> BrokerError:
    """Return what an exception on connecting means."""
    doing = f"connecting to the broker {config.address}"
    if isinstance(error, socket.gaierror):
        return BrokerError(
            doing,
            got=f"the name {config.host!r} has no address ({error.strerror})",
            expected="a name that DNS knows",
            remedy="Check host under [broker], and whether the box has a network.",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OF_THE_DATE and (mark := measure_mark()).quality is TimeQuality.UNSET:
            return BrokerError(
                doing,
                got=f"its certificate cannot be judged: {error.verify_message}, by a clock that was "
                f"never set ({rfc3339(mark.box_ns + mark.offset_ns)[:10]})",
                expected="a box that knows the date, which TLS needs",
                remedy="Give the box a time server (`timedatectl` says whether it has one) or a battery "
                "clock. Records wait meanwhile, and leave with the right times.",
            )
        return _refused_certificate(config, doing, error)
    # A far end that does not speak TLS may also just hang up in the middle of the handshake.
    if isinstance(error, ssl.SSLError) or (config.tls and isinstance(error, ConnectionResetError)):
        return _no_tls(config, doing, error)
    if isinstance(error, ConnectionRefusedError):
        return BrokerError(
            doing,
            got="connection refused",
            expected="a broker that listens there",
            remedy="Check host and port under [broker], and that the broker runs. Records wait meanwhile.",
        )
    if isinstance(error, TimeoutError):
        return BrokerError(
            doing,
            got=f"no answer within {config.connect_timeout_s:g} s",
            expected="a broker that answers",
            remedy="Check the network and any firewall between. Records wait meanwhile.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN):
        return BrokerError(
            doing,
            got=error.strerror or str(error),
            expected="a network",
            remedy="The box has no way to the broker at the moment. Records wait meanwhile.",
        )
    return BrokerError(
        doing,
        got=str(error) or type(error).__name__,
        expected="a connection",
        remedy="Check host and port under [broker] and the network.",
    )


def _refused_certificate(
    config: BrokerConfig, doing: str, error: ssl.SSLCertVerificationError
) -> BrokerError:
    name = config.host
    if error.verify_code in _NAMES:
        return BrokerError(
            doing,
            got=f"its certificate is refused: it is for another name than {name!r}",
            expected=f"one with {name!r} in its subjectAltName",
            remedy="Set host under [broker] to a name that is in the broker's certificate, or have a new one "
            "made for this name. The agent takes no other name.",
        )
    if error.verify_code in _OF_THE_DATE:
        return BrokerError(
            doing,
            got=f"its certificate is refused: {error.verify_message}",
            expected="a broker's certificate that is valid now",
            remedy="Have the broker's certificate renewed. If `date` is wrong on the box, put its clock "
            "right. Records wait meanwhile.",
        )
    if error.verify_code in _STRANGE:
        held = f"ca_file {config.ca_file!r}" if config.ca_file else "the authorities of this computer"
        return BrokerError(
            doing,
            got=f"its certificate is refused: signed by an authority that is not in {held}",
            expected="a broker whose authority the box trusts",
            remedy="Put the file of the authority that signed the broker's certificate (ca.crt) into ca_file "
            "under [broker]. If that is done already, another computer answers here than the broker.",
        )
    return BrokerError(
        doing,
        got=f"its certificate is refused: {error.verify_message}",
        expected=f"a certificate for {name!r} by a trusted authority, valid now",
        remedy="Check ca_file under [broker], the broker's certificate, and the clock of the box.",
    )


def refused_connection(config: BrokerConfig, code: int, name: str, elsewhere: str = "") -> BrokerError:
    """Return what a refusal in CONNACK means; `elsewhere`: the broker that it names instead of itself."""
    return BrokerError(
        f"connecting to the broker {config.address}",
        got=f"it refuses: {name.lower()} (0x{code:02X}){_named(elsewhere)}",
        expected="to be let in",
        remedy=_CONNACK_HINTS.get(code, "See the broker's log for the reason."),
    )


# What a broker's TLS alert says of us: the reason as OpenSSL has it, what it means, what to do.
_ALERTS = (
    ("CERTIFICATE_REQUIRED", "it asks for a client certificate, and none was shown",
     "a certificate of this box", "Set cert_file and key_file under [broker]."),
    ("CERTIFICATE_EXPIRED", "it says that the box's certificate has expired",
     "a certificate that is valid now", "Install a new cert_file, or put the broker's clock right."),
    ("UNKNOWN_CA", "it does not know the authority of the box's certificate",
     "a certificate by an authority that the broker trusts",
     "Take a cert_file that the broker's authority has signed, or add yours to the broker's cafile."),
    ("CERTIFICATE_REVOKED", "it says that the box's certificate is revoked",
     "a certificate that is still trusted", "Install a new cert_file and key_file."),
    ("BAD_CERTIFICATE", "it refuses the box's certificate", "a certificate that the broker takes",
     "Check cert_file under [broker], and see the broker's log."),
    ("CERTIFICATE_UNKNOWN", "it refuses the box's certificate", "a certificate that the broker takes",
     "Check cert_file under [broker], and see the broker's log."),
    ("PROTOCOL_VERSION", "it speaks no TLS that is safe", "TLS 1.2 or later",
     "Bring the broker up to date: older versions of TLS are broken."),
)  # fmt: skip


def _no_tls(config: BrokerConfig, doing: str, error: Exception) -> BrokerError:
    alert = _of_alert(doing, error)
    if alert is not None:
        return alert
    reason = getattr(error, "reason", None) or error
    if "WRONG_VERSION_NUMBER" in str(reason) or "RECORD_LAYER_FAILURE" in str(reason):
        got = f"it answers in plain text ({reason})"
    elif isinstance(error, ConnectionResetError):
        got = "it hangs up at the greeting of TLS, as one does that speaks plain text only"
    else:
        got = f"no TLS connection comes about ({reason})"
    return BrokerError(
        doing,
        got=got,
        expected="a broker that speaks TLS on this port",
        remedy="Check port under [broker] (8883 is usual), and whether the broker wants a client "
        "certificate (cert_file, key_file). The agent never goes on in plain text.",
    )


def _of_alert(doing: str, error: Exception | None) -> BrokerError | None:
    if not isinstance(error, ssl.SSLError):
        return None
    words = f"{error.reason or error}".upper().replace(" ", "_")
    for name, got, expected, remedy in _ALERTS:
        if name in words:
            return BrokerError(doing, got=got, expected=expected, remedy=remedy)
    return None


def closed_before_answer(config: BrokerConfig, trouble: Exception | None = None) -> BrokerError:
    """Return what it means that the far end hangs up on our CONNECT; `trouble` is what the socket said."""
    doing = f"connecting to the broker {config.address}"
    alert = _of_alert(doing, trouble)
    if alert is not None:
        return alert
    hint = 'If it is an old broker, set protocol = "3.1.1" under [broker].' if config.protocol == "5" else ""
    if config.tls and not config.cert_file:
        hint = "Perhaps it wants a client certificate (cert_file, key_file). " + hint
    elif config.tls:
        hint = "Perhaps it refuses the box's certificate (cert_file): its log says why. " + hint
    else:
        hint = "Perhaps it speaks TLS only on this port: set tls = true. " + hint
    return BrokerError(
        doing,
        got="the far end closed the connection without an answer",
        expected="an MQTT broker's CONNACK",
        remedy=f"Check port and tls under [broker]. {hint}".strip(),
    )


_OTHERS = (
    (
        b"HTTP/",
        "HTTP",
        "A web server listens there. Check port under [broker]: 1883 is usual, 8883 with TLS.",
    ),
    (b"\x15\x03", "TLS", "Set tls = true under [broker]: this port speaks TLS only."),
    (b"SSH-", "SSH", "Check port under [broker]: 1883 is usual, 8883 with TLS."),
    (b"AMQP", "AMQP", "Check port under [broker]: brokers of AMQP have another one for MQTT, usually 1883."),
)
_CONNACK_BYTE = 0x20


def no_mqtt(config: BrokerConfig, first: bytes) -> BrokerError:
    """Return what it means that the far end answers our CONNECT with what is no CONNACK; `first` of it."""
    shown = first[:16].hex(" ")
    got, remedy = f"an answer that is no MQTT ({shown})", "Check host and port under [broker]."
    for begin, name, hint in _OTHERS:
        if first.startswith(begin):
            got, remedy = f"an answer that is no MQTT (it looks like {name})", hint
    if first[0] == _CONNACK_BYTE:
        got = f"a CONNACK that cannot be read ({shown})"
        remedy = "See the broker's log."
        if config.protocol == "5":
            remedy = f'If it is an old broker, set protocol = "3.1.1" under [broker]. {remedy}'
    return BrokerError(
        f"connecting to the broker {config.address}",
        got=got,
        expected="an MQTT broker's CONNACK",
        remedy=remedy,
    )


def not_allowed(config: BrokerConfig, what: str, topics: str, reason: str) -> BrokerError:
    """Return what it means that the broker's access list keeps us from a topic; `what`: read or write."""
    return BrokerError(
        f"{'subscribing' if what == 'read' else 'publishing'} at the broker {config.address}",
        got=f"it refuses {topics}: {reason.lower()}",
        expected=f"to be let {what} the topics of this box",
        remedy="Check the broker's access list: docs/operators.md, Security, has one that works.",
    )


def lost_connection(config: BrokerConfig, why: str, code: int = 0, elsewhere: str = "") -> BrokerError:
    """Return what it means that a connection ended which we did not end.

    `code`: of the broker's DISCONNECT, if it sent one; `elsewhere`: the broker that it names instead.
    """
    hint = _DISCONNECT_HINTS.get(
        code,
        "If it happens often, see the broker's log: two agents with one client_id push each other out.",
    )
    said = f" (0x{code:02X}){_named(elsewhere)}" if code else ""
    return BrokerError(
        f"speaking with the broker {config.address}",
        got=f"the connection ended: {why}{said}",
        expected="a connection that holds",
        remedy=f"The agent connects again by itself; nothing is lost. {hint}",
    )


def _named(elsewhere: str) -> str:
    return f"; it names {elsewhere!r} instead" if elsewhere else ""


def taken_over(config: BrokerConfig, client_id: str, box: str, pause_s: float) -> BrokerError:
    """Return what it means that another client connected under our name (MQTT 5.0, 3.1.4: 0x8E)."""
    return BrokerError(
        f"sending for the box {box!r} to the broker {config.address}",
        got=f"another client connected under this one's name, {client_id!r}: a second agent calls itself "
        f"{box!r}, or has the same client_id",
        expected="one agent a name: the broker lets only the latest of two stay",
        remedy="Give one of them another [box] id (or client_id under [broker]), and start it again. Records "
        f"wait; this one stays away for {pause_s:.0f} s, each time longer, and then takes its turn.",
    )


def perhaps_taken_over(config: BrokerConfig, client_id: str, box: str, times: int) -> BrokerError:
    """Return what it means that the broker hangs up again and again on who it has let in."""
    return BrokerError(
        f"sending for the box {box!r} to the broker {config.address}",
        got=f"it closed the connection {times} times in a row without a word, though it lets us in: "
        f"probably a second agent calls itself {box!r}, or has the same client_id, {client_id!r}",
        expected="one agent a name: the broker lets only the latest of two stay",
        remedy='See the broker\'s log (mosquitto: "already connected, closing old connection"). Give one of '
        "them another [box] id (or client_id under [broker]), and start it again. Nothing is lost: both "
        "take turns, more and more rarely.",
    )


def never_acknowledged(config: BrokerConfig) -> BrokerError:
    """Return what it means that a PUBACK does not come."""
    return BrokerError(
        f"publishing to the broker {config.address}",
        got=f"no acknowledgement within {config.acknowledge_timeout_s:g} s",
        expected="a PUBACK for each record",
        remedy="The agent connects anew and sends again. If it goes on, see the broker's log.",
    )


def unreadable_secret(config: BrokerConfig, what: str, path: str, error: Exception) -> BrokerError:
    """Return what it means that a file of secrets cannot be used."""
    return BrokerError(
        f"preparing to connect to the broker {config.address}",
        got=f"{what} {path!r}: {_of_file(error)}",
        expected="a file that the agent can read and that holds what its name says",
        remedy=f"Check {what} under [broker], and that the agent's user may read the file.",
    )


def _of_file(error: Exception) -> str:
    """Return what is wrong with a file of TLS: OpenSSL's own words help nobody in a van."""
    words = str(error).upper().replace(" ", "_")
    if "NO_CERTIFICATE_OR_CRL_FOUND" in words:
        return "it holds no certificate (-----BEGIN CERTIFICATE-----)"
    if isinstance(error, ssl.SSLError) and "BAD_DECRYPT" in words:
        return "the key is locked with a password, which a service cannot be asked for"
    if isinstance(error, ssl.SSLError):
        return "one of them is damaged, or is no certificate or key in PEM (-----BEGIN …)"
    return str(getattr(error, "strerror", None) or error)
