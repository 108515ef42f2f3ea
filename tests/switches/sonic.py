"""A shell on SONiC, for sshd's ForceCommand.  Notes what it is asked."""

import sys
from pathlib import Path

NAME, LOG = sys.argv[1], Path(sys.argv[2])
PROMPT = f"admin@{NAME}:~$ "
COUNTERS = """\
    IFACE    STATE    RX_OK      RX_BPS    RX_UTIL    RX_ERR    RX_DRP    RX_OVR    TX_OK
---------  -------  -------  ----------  ---------  --------  --------  --------  -------
Ethernet0        U   40,297   2.53 B/s       0.00%        10     1,000         0      264
Ethernet4        D        0   0.00 B/s       0.00%         0         0       N/A        0
"""
STATUS = """\
  Interface            Lanes    Speed    MTU    FEC    Alias    Vlan    Oper    Admin
-----------  ---------------  -------  -----  -----  -------  ------  ------  -------
  Ethernet0  0,1,2,3,4,5,6,7     400G   9100     rs     etp1   trunk      up       up
  Ethernet4        8,9,10,11     400G   9100     rs     etp2   trunk    down       up
"""
TABLE = """\
Capability codes: (R) Router, (B) Bridge, (O) Other
LocalPort    RemoteDevice    RemotePortID    Capability    RemotePortDescr
-----------  --------------  --------------  ------------  -----------------
Ethernet0    n002            eth1            BR            to leaf
--------------------------------------------------
Total entries displayed:  1
"""
PFC = """\
  Port Rx    PFC0    PFC1    PFC2    PFC3
---------  ------  ------  ------  ------
Ethernet0       0       0       0   1,234

  Port Tx    PFC0    PFC1    PFC2    PFC3
---------  ------  ------  ------  ------
Ethernet0       0       0       0      56

"""
PRIORITY = """\
Interface    Lossless priorities
-----------  ---------------------
Ethernet0    3,4
Ethernet4
"""
MARKS = """\
     Port    TxQ    WredDrp/pkts    WredDrp/bytes    EcnMarked/pkts    EcnMarked/bytes
---------  -----  --------------  ---------------  ----------------  -----------------
Ethernet0    UC0             N/A              N/A                39                  1
Ethernet0    UC1             N/A              N/A         1,032,731      1,549,096,500

     Port    TxQ    WredDrp/pkts    WredDrp/bytes    EcnMarked/pkts    EcnMarked/bytes
---------  -----  --------------  ---------------  ----------------  -----------------
Ethernet4    UC0             N/A              N/A               N/A                N/A
"""
EEPROM = """\
Ethernet0: SFP EEPROM detected
        Identifier: QSFP-DD Double Density 8X Pluggable Transceiver
        Vendor Name: ACME
        Vendor PN: A400-SR8
        Vendor SN: X17
        ChannelMonitorValues:
                RX1Power: -1.2000dBm
                RX2Power: -infdBm
                TX1Bias: 7.5000mA
                TX2Bias: 7.4000mA
                TX1Power: 0.0000dBm
                TX2Power: N/A
        ChannelThresholdValues:
                RxPowerHighAlarm : 3.4001dBm
        ModuleMonitorValues:
                Temperature: 48.5000C
                Vcc: 3.2824Volts

Ethernet4: SFP EEPROM Not detected

"""
SAID = {
    "show interfaces transceiver eeprom --dom": EEPROM,
    "show interfaces counters": COUNTERS,
    "show interfaces status": STATUS,
    "show lldp table": TABLE,
    "show pfc counters": PFC,
    "show pfc priority": PRIORITY,
    "show queue wredcounters": MARKS,
}

print(PROMPT, end="", flush=True)
for line in sys.stdin:
    command = line.strip()
    with LOG.open("a") as log:
        log.write(f"{command}\n")
    if command == "exit":
        break
    if command in SAID:
        print(SAID[command], end="")
    elif command and not command.startswith("stty"):
        print(f"-bash: {command}: command not found")
    print(PROMPT, end="", flush=True)
