"""The unit file of a service for systemd, with as few rights as it can have."""

from __future__ import annotations

from collections.abc import Sequence

UNIT = """\
[Unit]
Description=edge-lstm: answers to samples
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
SuccessExitStatus=143
Restart=always
RestartSec=2
WatchdogSec=30
TimeoutStartSec=120
DynamicUser=yes
StateDirectory={name}
CacheDirectory={name}
Environment=EDGE_LSTM_CACHE=/var/cache/{name} PYTHONDONTWRITEBYTECODE=1
{rights}
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=all
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
NoNewPrivileges=yes
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077
MemoryMax=512M

[Install]
WantedBy=multi-user.target
"""
NO_DEVICES = "PrivateDevices=yes\nDevicePolicy=closed\nPrivateUsers=yes\nMemoryDenyWriteExecute=yes"


def unit(command: Sequence[str], name: str, *, devices: Sequence[str], home: bool) -> str:
    """command: with its arguments. name: of the service. devices: those that it may use.

    home: whether the command or the bundle is in a home folder, which it may then read.
    """
    rights = NO_DEVICES
    if devices:
        allowed = "\n".join(f"DeviceAllow={device} rw" for device in devices)
        rights = f"DevicePolicy=closed\n{allowed}\nSupplementaryGroups=video render"
    return UNIT.format(
        command=" ".join(map(quoted, command)),
        name=name,
        rights=rights,
        home="read-only" if home else "yes",
    )


def quoted(word: str) -> str:
    """A word of ExecStart, as systemd.syntax(7) wants it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if escaped and not set(escaped) & set(" '\"\\;\t") else f'"{escaped}"'
