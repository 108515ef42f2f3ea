"""A shell on Onyx, for sshd's ForceCommand.  Notes what it is asked; `enable` shows more."""

import sys
from pathlib import Path

NAME, LOG = sys.argv[1], Path(sys.argv[2])
INTERFACES = """\
Eth1/1:
  Admin state                      : Enabled
  Operational state                : Up
  Last change in operational status: 3d and 2:10:05 ago (5 oper change)
  Actual speed                     : 200G

  Rx:
    12                   error packets
    3                    discard packets
    9                    fcs errors
    7                    pause packets
    2                    symbol errors

  Tx:
    0                    error packets
    4                    discard packets
    8                    hoq discard packets
    6                    pause packets

Eth1/2 (Po4):
  Admin state                      : Disabled
  Operational state                : Down
  Actual speed                     : Unknown
"""
MODULES = """\
Port 1/1 state
\tidentifier             : QSFP56
\tcable/module type      : Optical cable/module
\tvendor                 : ACME
\tpart number            : A200-SR4
\tserial number          : M7

Port 1/2 state
\tidentifier             : QSFP56
\tvendor                 : ACME
\tpart number            : A200-CR4
\tserial number          : M8

"""
LIGHT = """\
Port 1/1 transceiver diagnostic data:
        Temperature (-127C to +127C)
        Temperature              : 41 C
        Hi Temp Alarm Thresh     : 80 C
        Temperature Alarm        : None
        Voltage ( 0 to 6.5535 V)
        Voltage                  : 3.25790 V
        Voltage Alarm            : None
        Tx Bias Current ( 0 to 131 mA)
        Ch1 Tx Current           : 6.60000 mA
        Ch2 Tx Current           : 6.70000 mA
        Tx Power (0 mW to 6.5535 mW / -40 to +8.1647 dBm)
        Ch1 Tx Power             : 0.92000 mW / -0.36212 dBm
        Ch2 Tx Power             : 0.95000 mW / -0.22276 dBm
        Rx Power (0 mW to 6.5535 mW / -40 to +8.1647 dBm)
        Ch1 Rx Power             : 0.80000 mW / -0.96910 dBm
        Ch2 Rx Power             : 0.00000 mW / -40.00000 dBm
        Low Rx Power Alarm Thresh: 0.04660 mW / -13.31614 dBm
        Ch2 Rx Power Alarm       : Low

Port 1/2 transceiver diagnostic data:
        No Diagnostic Data Available. Module is not DDMI capable

"""
REMOTE = """\
Eth1/1 (Po4)

Remote Index: 1
Remote chassis id             : 02:00:00:00:00:09 ; chassis id subtype: Mac Address (4)
Remote port-id                : 02:00:00:00:00:0a ; port id subtype: Mac Address (3)
Remote port description       : eth3
Remote system name            : n003.dc
Remote system description     : Linux

Eth1/2

Remote Index: 1
Remote chassis id             : 02:00:00:00:00:0b ; chassis id subtype: Mac Address (4)
Remote port-id                : Eth1/9 ; port id subtype: Interface Name (5)
Remote port description       : Not Advertised
Remote system name            : Not Advertised

"""
LOSSLESS = """\

PFC: enabled
Priority Enabled List: 3
Priority Disabled List: 0 1 2 4 5 6 7

-------------------------------------------------
Interface        PFC admin        PFC oper
-------------------------------------------------
Eth1/1           Auto             Enabled
Eth1/2           Auto             Disabled
"""
SAID = {
    "show interfaces ethernet": INTERFACES,
    "show interfaces ethernet transceiver": MODULES,
    "show lldp interfaces ethernet remote": REMOTE,
    "show dcb priority-flow-control": LOSSLESS,
}
ENABLED = {"show interfaces ethernet transceiver diagnostics": LIGHT}


def main() -> None:
    enabled = False
    print(f"{NAME} [standalone: master] > ", end="", flush=True)
    for line in sys.stdin:
        command = line.strip()
        with LOG.open("a") as log:
            log.write(f"{command}\n")
        print(command)  # as a terminal would
        if command == "exit":
            break
        if command == "enable":
            enabled = True
        elif command in SAID or (enabled and command in ENABLED):
            print({**SAID, **ENABLED}[command], end="")
        elif command and not command.startswith(("terminal ", "no cli ")):
            print(f'% Unrecognized command "{command}".')
        print(f"{NAME} [standalone: master] {'#' if enabled else '>'} ", end="", flush=True)


main()
