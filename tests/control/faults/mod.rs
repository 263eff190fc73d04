//! What is promised about failures, proven with the whole program on real sockets: engine, probes and data plane before upstreams
//! that die, freeze, vanish, lie and cut, under a small open load. What is asserted is what clients and upstreams saw, which
//! switches and verdicts there were, and why; never how long something took.

mod calm;
mod dead;
mod evidence;
mod load;
mod moves;
mod scene;
mod sessions;
mod silent;
mod together;
mod wrong;
