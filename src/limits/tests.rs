//! Do limits hold, in tables, in random courses and under many threads?

mod courses;
mod late_costs;
mod mid_flight;
mod money;
mod restarts;
mod specimens;
mod states;
mod threads;
mod time;
mod windows;
