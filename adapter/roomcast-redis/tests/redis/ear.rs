//! A bus with a record of what it tells.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use roomcast_redis::{BusEvent, BusLimits, BusStats, Channel, RedisBus, RedisConfig, RedisFault, RedisUrl};

pub struct Ear {
    pub bus: RedisBus,
    events: Receiver<BusEvent>,
    /// Messages that came while something else was waited for.
    unread: RefCell<VecDeque<String>>,
}

/// Limits under which tests need not wait long.
pub fn limits() -> BusLimits {
    let mut limits = BusLimits::default();
    limits.backoff_min = Duration::from_millis(20);
    limits.backoff_max = Duration::from_millis(200);
    limits.connect_timeout = Duration::from_secs(1);
    limits.response_timeout = Duration::from_secs(1);
    limits.ping_interval = Duration::from_millis(300);
    limits
}

impl Ear {
    pub fn new(url: &str) -> Self {
        Self::with(RedisUrl::parse(url).unwrap(), limits())
    }

    pub fn with(url: RedisUrl, limits: BusLimits) -> Self {
        let mut config = RedisConfig::new(url);
        config.limits = limits;
        let (sender, events) = mpsc::channel();
        let bus = RedisBus::start(config, move |event| drop(sender.send(event))).unwrap();
        Self { bus, events, unread: RefCell::default() }
    }

    /// Connected, and subscribed to this.
    pub fn on(url: &str, channel: &str) -> Self {
        let ear = Self::new(url);
        ear.subscribe(channel);
        ear
    }

    pub fn subscribe(&self, channel: &str) {
        let channel = Channel::exact(channel.to_owned());
        self.bus.subscribe(channel.clone());
        self.until(|event| matches!(event, BusEvent::Subscribed(found) if *found == channel));
    }

    /// The first event that this accepts. Others are passed over; messages are kept.
    pub fn until(&self, mut accept: impl FnMut(&BusEvent) -> bool) -> BusEvent {
        loop {
            // Only a test that fails waits as long.
            let event = self.events.recv_timeout(PATIENCE).unwrap();
            if accept(&event) {
                return event;
            }
            if let BusEvent::Message(message) = event {
                self.unread.borrow_mut().push_back(String::from_utf8(message.payload.to_vec()).unwrap());
            }
        }
    }

    pub fn until_up(&self) -> Option<Duration> {
        let BusEvent::Up(missed) = self.until(|event| matches!(event, BusEvent::Up(_))) else { unreachable!() };
        missed
    }

    pub fn until_down(&self) -> RedisFault {
        let BusEvent::Down(fault) = self.until(|event| matches!(event, BusEvent::Down(_))) else { unreachable!() };
        fault
    }

    /// The payload of the next message.
    pub fn message(&self) -> String {
        if let Some(message) = self.unread.borrow_mut().pop_front() {
            return message;
        }
        let BusEvent::Message(message) = self.until(|event| matches!(event, BusEvent::Message(_))) else {
            unreachable!()
        };
        String::from_utf8(message.payload.to_vec()).unwrap()
    }

    /// The numbers that were received up to this one.
    pub fn numbers_until(&self, last: u64) -> BTreeSet<u64> {
        let mut numbers = BTreeSet::new();
        while !numbers.contains(&last) {
            assert!(numbers.insert(self.message().parse().unwrap()), "a message came twice");
        }
        numbers
    }

    /// The statistics, once they are as this wants them.
    pub fn stats_when(&self, accept: impl Fn(&BusStats) -> bool) -> BusStats {
        let mut waited = Duration::ZERO;
        loop {
            let stats = self.bus.stats();
            if accept(&stats) {
                return stats;
            }
            assert!(waited < PATIENCE, "{stats:?}");
            std::thread::park_timeout(STEP);
            waited += STEP;
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(5);

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
