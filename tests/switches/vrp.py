"""A switch that speaks as Huawei's VRP does, for sshd's ForceCommand.  Notes what it is asked."""

import sys
from pathlib import Path

NAME, LOG = sys.argv[1], Path(sys.argv[2])
PROMPT = f"<{NAME}>"
INTERFACES = """\
400GE1/0/1 current state : UP (ifindex: 5)
Line protocol current state : UP
Description: n001
Switch Port, PVID :    1, TPID : 8100(Hex), The Maximum Frame Length is 9216
Port Mode: COMMON FIBER, Transceiver: 400GBASE_DR4
Speed : 400000,   Loopback: NONE
Duplex: FULL,   Negotiation: DISABLE
Input:  12345678 packets, 1234567890 bytes
  Discard:                          7,  Pause:                               9
  Total Error:                      3
  CRC:                              3,  Giants:                              0
  Alignments:                       0,  Symbols:                             1
Output:  12345 packets, 12345 bytes
  Discard:                          5,  Pause:                              11
400GE1/0/2 current state : Administratively DOWN (ifindex: 6)
Line protocol current state : DOWN
Speed : 400000,   Loopback: NONE
400GE1/0/3 current state : DOWN (ifindex: 7)
Line protocol current state : DOWN
Vlanif10 current state : UP (ifindex: 10)
Line protocol current state : UP
"""
NEIGHBOURS = """\
400GE1/0/1 has 1 neighbor(s):

Neighbor index :1
Chassis type   :MAC address
Chassis ID     :b8d6-f6ff-7390
Port ID type   :Interface name
Port ID        :eth0
Port description    :to leaf
System name         :n001
System description  :Debian GNU/Linux
Expired time   :95s
"""
OPTICS = """\
400GE1/0/1 transceiver information:
-------------------------------------------------------------------
Common information:
  Transceiver Type                      :400GBASE_DR4
  Vendor Name                           :ACME
-------------------------------------------------------------------
Manufacture information:
  Manu. Serial Number                   :A1
  Vendor Part Number                    :DR4-1
-------------------------------------------------------------------
Diagnostic information:
  Temperature (Celsius)                 :45.00
  Voltage (V)                           :3.30
  Bias Current (mA)                     :6.10|6.20    (Lane0|Lane1)
                                         6.30|6.40    (Lane2|Lane3)
  Bias High Threshold (mA)              :15.00
  Current RX Power (dBm)                :-1.20|-1.30(Lane0|Lane1)
                                         -11.50|-1.10(Lane2|Lane3)
  Default RX Power High Threshold (dBm) :2.50
  Default RX Power Low Threshold (dBm)  :-12.70
  Current TX Power (dBm)                :1.00|1.10(Lane0|Lane1)
                                         0.90|1.00(Lane2|Lane3)
-------------------------------------------------------------------
400GE1/0/2 transceiver information:
-------------------------------------------------------------------
Common information:
  Transceiver Type                      :400GBASE_CR8
  Vendor Name                           :ACME
-------------------------------------------------------------------
"""
SAID = {
    "display interface": INTERFACES,
    "display lldp neighbor": NEIGHBOURS,
    "display interface transceiver verbose": OPTICS,
}

print(f"\nInfo: The max number of VTY users is 21.\n{PROMPT}", end="", flush=True)
for line in sys.stdin:
    command = line.strip()
    with LOG.open("a") as log:
        log.write(f"{command}\n")
    if command in {"quit", "exit"}:
        break
    if command in SAID:
        print(SAID[command], end="")
    elif command and not command.startswith("screen-length"):
        print("              ^\nError: Unrecognized command found at '^' position.")
    print(PROMPT, end="", flush=True)
