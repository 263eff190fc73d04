//! The control plane on real sockets: probes, verdicts, reloads, state. The data plane is played by a thread that takes up
//! every table and by calls on the counters that workers write.

mod audit;
mod databases;
mod dns;
mod exchanges;
mod failover;
mod journal;
mod mariadb;
mod names;
mod probes;
mod programs;
mod records;
mod reload;
mod state;
mod support;
