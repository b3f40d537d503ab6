// SPDX-License-Identifier: MIT
#include "scheduler.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <utility>

#include "heap.hpp"

namespace cadre_model {

scheduler* active = nullptr;

scheduler::scheduler(const options& how) : how_{how} {}

std::optional<std::string> scheduler::run(const std::function<void()>& body, path& choices,
                                          int allowed_preemptions) {
  choices_ = &choices;
  allowed_preemptions_ = allowed_preemptions;
  used_ = 0;
  preemptions_ = 0;
  changes_ = 0;
  clock_ = time_point{} + std::chrono::hours{1};
  trace_.clear();
  races_.clear();
  const auto call_body = [](void* argument) -> void* {
    (*static_cast<const std::function<void()>*>(argument))();
    return nullptr;
  };
  running_ = nullptr;
  running_ = &add_thread(call_body, const_cast<std::function<void()>*>(&body));
  heap::watch();
  outside_.switch_to(running_->context);
  const long leaked = heap::unwatch();
  if (failure_) {
    // Fibers that stopped midway, and whatever they own, are never resumed.
    for (auto& thread : threads_) static_cast<void>(thread.release());
    threads_.clear();
    return std::exchange(failure_, {});
  }
  if (leaked > 0 && how_.leaks) {
    return std::to_string(leaked) + " blocks were allocated and not freed\n" + trace_.to_string();
  }
  if (!choices.at_end()) return "the body does not repeat itself: a schedule ended early";
  return {};
}

void scheduler::thread_main(void* argument) {
  auto& self = *static_cast<model_thread*>(argument);
  for (;;) {
    try {
      self.returned = self.work(self.argument);
    } catch (const std::exception& e) {
      active->fail(std::string{"an exception left the thread: "} + e.what());
    } catch (...) {
      active->fail("an exception left the thread");
    }
    if (self.id == 0) {
      active->end_body();
      continue;
    }
    active->finish(self);
  }
}

void scheduler::finish(model_thread& thread) noexcept {
  thread.now = condition::finished;
  if (model_thread* joiner = thread.joiner; joiner != nullptr && --joiner->joins == 0) {
    joiner->now = condition::ready;
  }
  suspend();
}

/// Returns when the next schedule begins.
void scheduler::end_body() noexcept {
  for (std::size_t i = 1; i < used_; ++i) {
    if (threads_[i]->now != condition::finished) {
      fail("thread " + std::to_string(i) + " outlives the body: join it");
    }
  }
  running_->context.switch_to(outside_);
}

model_thread& scheduler::add_thread(model_thread::routine work, void* argument) {
  const heap::unwatched own_memory;
  if (used_ == threads_.size()) {
    threads_.push_back(std::make_unique<model_thread>(static_cast<int>(used_), &thread_main));
  }
  model_thread& thread = *threads_[used_++];
  if (std::exchange(thread.killed, false)) thread.context.restart();
  thread.context.reset_thread_locals();
  thread.work = work;
  thread.argument = argument;
  thread.joiner = nullptr;
  thread.parent = running_;
  thread.birth = choices_->length();
  thread.now = condition::ready;
  thread.may_wake_spuriously = how_.spurious;
  thread.pausing = false;
  thread.news = changes_;
  thread.changes = 0;
  thread.spun_out = 0;
  thread.patience = 0;
  thread.steps = 0;
  return thread;
}

model_thread& scheduler::start(model_thread::routine work, void* argument) {
  model_thread& thread = add_thread(work, argument);
  {
    const heap::unwatched own_memory;
    races_.order(running_->id, thread.id);
  }
  advance(thread);
  return thread;
}

void scheduler::join(std::span<model_thread* const> threads) noexcept {
  model_thread& self = *running_;
  self.joins = 0;
  for (model_thread* thread : threads) {
    if (thread->now == condition::finished) continue;
    thread->joiner = &self;
    ++self.joins;
  }
  if (self.joins != 0) {
    self.now = condition::joining;
    suspend();
  }
  const heap::unwatched own_memory;
  for (model_thread* thread : threads) races_.order(thread->id, self.id);
}

/// Lets `thread` run up to its next operation, so that a choice is always one between operations.
void scheduler::advance(model_thread& thread) noexcept {
  thread.advanced_by = running_;
  switch_to(thread);
}

/// Returns when the running thread has been chosen to go on.
void scheduler::suspend() noexcept {
  if (model_thread* by = std::exchange(running_->advanced_by, nullptr)) return switch_to(*by);
  const option chosen = choose();
  take(chosen);
  if (chosen.thread != running_) switch_to(*chosen.thread);
}

void scheduler::switch_to(model_thread& thread) noexcept {
  model_thread& self = *std::exchange(running_, &thread);
  self.context.switch_to(thread.context);
}

scheduler::option scheduler::choose() {
  const heap::unwatched own_memory;
  find_options();
  alternatives_.clear();
  for (const option& o : options_) {
    const bool affordable = preemptions_ + o.cost <= allowed_preemptions_;
    alternatives_.push_back({o.thread->id, affordable});
  }
  if (options_.empty()) fail("deadlock: no thread can go on");
  const auto taken = choices_->choose(alternatives_);
  if (!taken) fail("the body does not repeat itself: other threads can go on than before");
  if (!how_.reduce) {
    for (const option& o : options_) choices_->demand(choices_->length() - 1, o.thread->id);
  }
  return options_[*taken];
}

void scheduler::find_options() {
  options_.clear();
  const auto all = [this](auto visit) {
    for (std::size_t i = 0; i < used_; ++i) visit(*threads_[i]);
  };
  bool somebody = could_go_on(*running_);
  if (somebody) add_option(*running_, option::way::go_on, somebody);
  all([&](model_thread& t) {
    if (&t == running_ || !could_go_on(t)) return;
    somebody = true;
    add_option(t, option::way::go_on, somebody);
  });
  all([&](model_thread& t) {
    if (t.now == condition::paused && !has_news(t) && t.spun_out != changes_ + 1) {
      add_option(t, option::way::spin_out, somebody);
    }
    if (t.now == condition::asleep && t.deadline != never) {
      add_option(t, option::way::time_out, somebody);
    }
    if (t.now == condition::asleep && t.may_wake_spuriously) {
      add_option(t, option::way::wake_spuriously, somebody);
    }
  });
}

void scheduler::add_option(model_thread& thread, option::way how, bool somebody_could_go_on) {
  const bool preempts = running_->now == condition::ready && &thread != running_;
  const bool waits_in_vain = how == option::way::spin_out && somebody_could_go_on;
  options_.push_back({&thread, how, preempts || waits_in_vain ? 1 : 0});
}

bool scheduler::has_news(const model_thread& thread) const noexcept {
  return changes_ - thread.changes != thread.news;
}

bool scheduler::could_go_on(const model_thread& thread) const noexcept {
  return thread.now == condition::ready || (thread.now == condition::paused && has_news(thread));
}

void scheduler::take(const option& chosen) noexcept {
  // Spin loops that give up do so after at most this many turns.
  constexpr int spin_turns = 200;
  model_thread& thread = *chosen.thread;
  preemptions_ += chosen.cost;
  switch (chosen.how) {
    case option::way::go_on:
      break;
    case option::way::spin_out:
      note(thread, "spins out");
      thread.patience = spin_turns;
      thread.spun_out = changes_ + 1;
      break;
    case option::way::time_out:
      note(thread, "times out");
      thread.timed_out = true;
      clock_ = std::max(clock_, thread.deadline);
      break;
    case option::way::wake_spuriously:
      note(thread, "wakes spuriously");
      thread.may_wake_spuriously = false;
      break;
  }
  if (thread.now == condition::paused) thread.news = changes_ - thread.changes;
  thread.now = condition::ready;
}

void scheduler::announce(const void* address, detail::access kind) noexcept {
  model_thread& self = *running_;
  if (self.id != 0 && self.id == how_.victim && self.steps++ == how_.killed_at) {
    has_killed_ = true;
    self.killed = true;
    note(self, "is killed");
    finish(self);  // does not return
  }
  const bool spins_out = self.patience > 0 && kind == detail::access::read;
  if (std::exchange(self.pausing, false) && self.patience == 0) self.now = condition::paused;
  if (!spins_out) suspend();
  if (kind != detail::access::wake) check_alive(address);
  access(address, kind != detail::access::read);
}

void scheduler::access(const void* address, bool writes) noexcept {
  if (choices_->length() == 0) return;
  const heap::unwatched own_memory;
  const std::size_t step = choices_->length() - 1;
  races_.access(running_->id, address, writes, step,
                [this](std::size_t earlier) { demand(earlier, *running_); });
}

/// That `thread`, or who had yet to start it, had gone on at `step`.
void scheduler::demand(std::size_t step, const model_thread& thread) noexcept {
  const model_thread* alive = &thread;
  while (alive->birth > step) alive = alive->parent;
  choices_->demand(step, alive->id);
}

void scheduler::check_alive(const void* address) noexcept {
  if (heap::is_freed(address)) fail("an atomic is used after its block was freed");
  for (std::size_t i = 0; i < used_; ++i) {
    const model_thread& t = *threads_[i];
    if (&t == running_ || !t.context.owns(address)) continue;
    if (t.now == condition::finished || !t.context.in_use(address)) {
      fail("an atomic is used after its stack frame was left, in thread " + std::to_string(t.id));
    }
  }
}

void scheduler::record(const char* operation, const void* address, std::uint64_t before,
                       std::uint64_t after) noexcept {
  const heap::unwatched own_memory;
  trace_.add({running_->id, operation, address, std::pair{before, after}});
  if (trace_.size() > how_.max_steps) fail("livelock: too many steps");
  if (before == after) return;
  ++changes_;
  ++running_->changes;
  running_->patience = 0;
}

void scheduler::pause() noexcept {
  running_->pausing = true;
  if (running_->patience == 0) return;
  --running_->patience;
  clock_ += std::chrono::microseconds{100};  // spins that look at the clock give up, too
}

bool scheduler::sleep_if(const cadre::sync::atomic<std::uint32_t>& word, std::uint32_t expected,
                         time_point deadline) noexcept {
  model_thread& self = *running_;
  // A step of its own, also for a thread that spun out.
  if (std::exchange(self.patience, 0) > 0) self.pausing = false;
  announce(&word, detail::access::write);  // it changes who sleeps there
  const std::uint32_t value = word.peek();
  record("futex_wait", &word, value, value);
  if (value != expected) return true;
  self.now = condition::asleep;
  self.word = &word;
  self.deadline = deadline;
  self.fell_asleep = ++sleeps_;
  note(self, "sleeps", &word);
  suspend();
  return !std::exchange(self.timed_out, false);
}

void scheduler::wake(const void* word, int count) noexcept {
  announce(word, detail::access::wake);
  note(*running_, "futex_wake", word);
  model_thread* const waker = running_;
  for (;;) {
    model_thread* first = nullptr;
    for (std::size_t i = 0; i < used_; ++i) {
      model_thread& t = *threads_[i];
      if (t.now != condition::asleep || t.word != word) continue;
      if (t.deadline != never || t.may_wake_spuriously) demand(choices_->length() - 1, t);
      if (first == nullptr || t.fell_asleep < first->fell_asleep) first = &t;
    }
    if (first == nullptr || count-- == 0) return;
    first->now = condition::ready;
    {
      const heap::unwatched own_memory;
      races_.order(waker->id, first->id);
    }
    advance(*first);
  }
}

void scheduler::label(const void* begin, std::size_t size, const char* name) {
  const heap::unwatched own_memory;
  trace_.label(begin, size, name);
}

void scheduler::note(const model_thread& thread, const char* event, const void* address) noexcept {
  const heap::unwatched own_memory;
  trace_.add({thread.id, event, address});
}

std::string scheduler::describe_threads() const {
  constexpr const char* names[] = {"ready", "spinning", "asleep", "joining threads", "finished"};
  std::string text;
  for (std::size_t i = 0; i < used_; ++i) {
    text += i == 0 ? "  body is " : "  thread " + std::to_string(i) + " is ";
    text += names[static_cast<int>(threads_[i]->now)];
    text += '\n';
  }
  return text;
}

void scheduler::fail(const std::string& what) noexcept {
  heap::unwatch();
  failure_ = what + "\nin thread " + std::to_string(running_->id) + ", with " +
             std::to_string(preemptions_) + " preemptions:\n" + trace_.to_string() +
             describe_threads();
  running_->context.switch_to(outside_);
  std::abort();  // never resumed
}

}  // namespace cadre_model
