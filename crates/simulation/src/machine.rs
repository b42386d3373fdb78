//! An executor with virtual time: tasks are polled in an order drawn from the seed, and time advances only while
//! no task is ready.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use chatcamp_runtime::{Runtime, Task};
use parking_lot::Mutex;

use crate::{planted::Planted, random::Random, trace::Trace};

/// Polls in a thousand that are delayed, as on a busy processor.
const DELAYED_POLLS: usize = 8;
/// Timers that a task may set in one poll. A task that sets more loops without waiting.
const MOST_TIMERS: usize = 100_000;

/// The machine on which all processes of a simulation run.
pub(crate) struct Machine {
    began: Instant,
    state: Mutex<State>,
    ready: Arc<Mutex<Vec<u64>>>,
    trace: Trace,
}

struct State {
    now: Instant,
    random: Random,
    counter: u64,
    tasks: BTreeMap<u64, Entry>,
    timers: BTreeMap<(Instant, u64), Waker>,
    processes: Vec<bool>,
    /// The number of timers that the current task has polled.
    asked: usize,
    panicked: Option<String>,
}

struct Entry {
    process: usize,
    /// `None` while it is being polled.
    future: Option<Task>,
    wakeup: Arc<TaskWaker>,
}

struct TaskWaker {
    task: u64,
    is_ready: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(self.task);
        }
    }
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A task was polled.
    Polled,
    /// Time advanced to the next timer.
    Waited,
    /// No task is ready and no timer is set, so nothing can happen any more.
    Deadlocked,
}

impl Machine {
    pub(crate) fn new(seed: u64, keep: usize) -> Arc<Self> {
        let began = Instant::now();
        let state = State {
            now: began,
            random: Random::new(seed),
            counter: 0,
            tasks: BTreeMap::new(),
            timers: BTreeMap::new(),
            processes: Vec::new(),
            asked: 0,
            panicked: None,
        };
        Arc::new(Self { began, state: Mutex::new(state), ready: Arc::default(), trace: Trace::new(keep) })
    }

    /// Starts a process. Its tasks end with it.
    pub(crate) fn process(self: &Arc<Self>, name: impl Into<String>) -> Process {
        let mut state = self.state.lock();
        state.processes.push(true);
        let id = state.processes.len() - 1;
        Process { machine: self.clone(), id, name: name.into().into(), planted: None }
    }

    pub(crate) fn now(&self) -> Instant {
        self.state.lock().now
    }

    /// Returns the time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now() - self.began
    }

    /// Draws a value from the seed.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.state.lock().random)
    }

    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        self.trace.note(self.elapsed(), what);
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Polls one ready task, or advances time if no task is ready.
    pub(crate) fn step(&self) -> Step {
        let picked = {
            let mut ready = self.ready.lock();
            match ready.len() {
                0 => None,
                count => {
                    let index = self.state.lock().random.below(count);
                    Some(ready.swap_remove(index))
                }
            }
        };
        match picked {
            Some(task) => {
                self.poll(task);
                Step::Polled
            }
            None => self.wait(),
        }
    }

    fn poll(&self, id: u64) {
        let (mut future, waker) = {
            let mut state = self.state.lock();
            let Some(entry) = state.tasks.get_mut(&id) else { return };
            let waker = Waker::from(entry.wakeup.clone());
            entry.wakeup.is_ready.store(false, Ordering::Relaxed);
            if state.random.chance(DELAYED_POLLS) {
                let later = state.now + state.random.millis(1..=40);
                state.at(later, waker);
                return;
            }
            let Some(entry) = state.tasks.get_mut(&id) else { return };
            let Some(future) = entry.future.take() else { return };
            (future, waker)
        };
        self.trace.count_step(id);
        self.state.lock().asked = 0;
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let mut state = self.state.lock();
        let poll = poll.unwrap_or_else(|panic| {
            state.panicked.get_or_insert_with(|| text_of(&*panic));
            Poll::Ready(())
        });
        // The task may have been killed while it ran.
        match (poll, state.tasks.get_mut(&id)) {
            (Poll::Pending, Some(entry)) => entry.future = Some(future),
            _ => {
                state.tasks.remove(&id);
                drop(state);
                drop(future);
            }
        }
    }

    fn wait(&self) -> Step {
        let mut state = self.state.lock();
        let Some((&(moment, _), _)) = state.timers.first_key_value() else { return Step::Deadlocked };
        state.now = moment;
        let mut due = Vec::new();
        while let Some(first) = state.timers.first_entry().filter(|first| first.key().0 <= moment) {
            due.push(first.remove());
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
        Step::Waited
    }

    /// Returns the message of the first panic.
    pub(crate) fn panicked(&self) -> Option<String> {
        self.state.lock().panicked.clone()
    }

    /// Returns the number of tasks of a process.
    pub(crate) fn tasks_of(&self, process: &Process) -> usize {
        self.state.lock().tasks.values().filter(|entry| entry.process == process.id).count()
    }

    /// Kills a process between two polls.
    pub(crate) fn kill(&self, process: &Process) {
        let killed = {
            let mut state = self.state.lock();
            state.processes[process.id] = false;
            let of_process = |entry: &Entry| entry.process == process.id;
            let ids: Vec<_> = state.tasks.iter().filter(|(_, e)| of_process(e)).map(|(&id, _)| id).collect();
            ids.into_iter().filter_map(|id| state.tasks.remove(&id)).collect::<Vec<_>>()
        };
        drop(killed);
    }

    /// Kills all processes.
    pub(crate) fn clear(&self) {
        let tasks = {
            let mut state = self.state.lock();
            state.processes.iter_mut().for_each(|alive| *alive = false);
            std::mem::take(&mut state.tasks)
        };
        drop(tasks);
    }
}

impl State {
    fn at(&mut self, moment: Instant, waker: Waker) -> (Instant, u64) {
        self.counter += 1;
        let key = (moment, self.counter);
        self.timers.insert(key, waker);
        key
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
}

/// A process of the machine: the runtime of its tasks.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    machine: Arc<Machine>,
    id: usize,
    name: Arc<str>,
    planted: Option<Planted>,
}

impl Process {
    /// Returns the process with a planted fault.
    pub(crate) fn with(mut self, planted: Option<Planted>) -> Self {
        self.planted = planted;
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the process was not killed.
    pub(crate) fn is_alive(&self) -> bool {
        self.machine.state.lock().processes[self.id]
    }

    pub(crate) fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(Box::pin(task));
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        Sleep { machine: self.machine.clone(), deadline: self.now() + time, key: None }.await;
    }
}

impl Runtime for Process {
    fn now(&self) -> Instant {
        self.machine.now()
    }

    fn sleep_until(&self, deadline: Instant) -> Task {
        if self.planted == Some(Planted::TimersNeverFire) {
            return Box::pin(std::future::pending());
        }
        Box::pin(Sleep { machine: self.machine.clone(), deadline, key: None })
    }

    fn spawn(&self, task: Task) {
        let mut state = self.machine.state.lock();
        if !state.processes[self.id] {
            drop(state);
            drop(task);
            return;
        }
        state.counter += 1;
        let id = state.counter;
        // Planted: the task exists and is never polled.
        let lost = self.planted == Some(Planted::TaskLost) && state.random.chance(200);
        let wakeup = Arc::new(TaskWaker {
            task: id,
            is_ready: AtomicBool::new(true),
            ready: self.machine.ready.clone(),
        });
        state.tasks.insert(id, Entry { process: self.id, future: Some(task), wakeup });
        drop(state);
        if !lost {
            self.machine.ready.lock().push(id);
        }
    }

    fn random(&self) -> u64 {
        self.machine.draw(Random::next)
    }
}

/// Completes at its deadline.
struct Sleep {
    machine: Arc<Machine>,
    deadline: Instant,
    key: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let machine = self.machine.clone();
        let mut state = machine.state.lock();
        state.asked += 1;
        assert!(state.asked < MOST_TIMERS, "a task sets timers without waiting");
        if state.now >= self.deadline {
            return Poll::Ready(());
        }
        match self.key {
            Some(key) => _ = state.timers.insert(key, cx.waker().clone()),
            None => self.key = Some(state.at(self.deadline, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.key.and_then(|key| self.machine.state.lock().timers.remove(&key));
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> (Vec<usize>, Duration) {
        let machine = Machine::new(seed, 9);
        let process = machine.process("test");
        let seen = Arc::new(Mutex::new(Vec::new()));
        for n in 0..8 {
            let (seen, at) = (seen.clone(), process.clone());
            process.run(async move {
                seen.lock().push(n);
                at.sleep(Duration::from_secs(60 * 60)).await;
                seen.lock().push(n);
            });
        }
        while machine.step() != Step::Deadlocked {}
        assert_eq!(machine.tasks_of(&process), 0);
        let seen = seen.lock().clone();
        (seen, machine.elapsed())
    }

    #[test]
    fn the_order_is_the_seeds_and_an_hour_takes_no_time() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1).0, order(2).0);
        let (seen, elapsed) = order(3);
        assert!(seen.len() == 16 && elapsed >= Duration::from_secs(60 * 60));
    }

    #[test]
    fn a_killed_process_drops_its_tasks_and_takes_no_more() {
        let machine = Machine::new(1, 9);
        let process = machine.process("test");
        let held = Arc::new(());
        for _ in 0..2 {
            let held = held.clone();
            process.run(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            machine.kill(&process);
        }
        assert_eq!((Arc::strong_count(&held), machine.tasks_of(&process)), (1, 0));
    }
}
