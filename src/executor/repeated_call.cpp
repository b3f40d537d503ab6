// SPDX-License-Identifier: MIT
#include <cadre/detail/timed_call.hpp>

#include <mutex>
#include <stdexcept>
#include <string>

#include "executor/timers.hpp"
#include "future/waiter.hpp"
#include "sync/mutex.hpp"

namespace cadre::detail {

repeated_work::~repeated_work() = default;

struct repeated_call::inside {
  sync::mutex mutex;
  std::shared_ptr<repeated_work> work;  // guarded by mutex; null once the series has ended
  ref<state_base> current;              // guarded by mutex; the run, while there is one
  time_point due{};                     // whoever starts or ends the run, one after the other
};

/// The time of the next run.
class repeated_call::due_run final : public timer {
 public:
  explicit due_run(repeated_call& series) : timer{&series.where_}, series_{&series} {}

  void fire() noexcept override { series_->fire(); }
  void fail(const std::exception_ptr&) noexcept override {}  // the list of series has it, too
  bool is_dead() noexcept override { return !series_->is_pending(); }

 private:
  const ref<repeated_call> series_;
};

repeated_call::repeated_call(executor& where, std::chrono::nanoseconds period, bool fixed_delay,
                             std::shared_ptr<repeated_work> work)
    : state<void>{2},  // one reference for the future, one for the timers
      where_{where},
      period_{period},
      fixed_delay_{fixed_delay},
      inside_{std::make_unique<inside>()} {
  if (period <= period.zero()) {
    throw std::invalid_argument{"submit_every: the period must be greater than 0, got " +
                                std::to_string(period.count()) + " ns"};
  }
  inside_->work = std::move(work);
}

repeated_call::~repeated_call() { timers::instance().strike(*this); }

void repeated_call::start(time_point due) {
  const ref mine{this, ref<repeated_call>::adopt{}};  // the timer has its own
  timers& all = timers::instance();
  set_owner(&all, fork_generation());
  inside_->due = due;
  all.enlist(*this);
  all.add_again(*this, std::make_unique<due_run>(*this), due);
}

void repeated_call::fire() noexcept {
  std::shared_ptr<repeated_work> work;
  {
    const std::lock_guard held{inside_->mutex};
    work = inside_->work;
  }
  if (work == nullptr) return;
  try {
    work->submit_run(*this);
  } catch (...) {
    end_with(std::current_exception());
  }
}

void repeated_call::run_begins(state_base& run) noexcept {
  {
    const std::lock_guard held{inside_->mutex};
    if (inside_->work != nullptr) {
      inside_->current = ref{&run};
      return;
    }
  }
  if (!run.cancel()) run.request_stop();  // the series has ended meanwhile
}

void repeated_call::run_ends(bool was_cancelled, std::exception_ptr thrown) noexcept {
  {
    const std::lock_guard held{inside_->mutex};
    // Whoever calls has a reference to the run: nothing is destroyed here.
    inside_->current = {};
  }
  if (was_cancelled) {
    cancel();
  } else if (thrown != nullptr) {
    end_with(std::move(thrown));
  } else {
    schedule();
  }
}

void repeated_call::schedule() noexcept {
  const time_point now = std::chrono::steady_clock::now();
  time_point& due = inside_->due;
  if (fixed_delay_) {
    due = now + period_;
  } else {
    // Runs whose time has passed are left out; those to come keep to the grid.
    const auto missed = now > due ? (now - due) / period_ : 0;
    due += (missed + 1) * period_;
  }
  try {
    timers::instance().add_again(*this, std::make_unique<due_run>(*this), due);
  } catch (...) {
    end_with(std::current_exception());
  }
}

void repeated_call::end_with(std::exception_ptr reason) noexcept {
  if (try_start()) fail(std::move(reason));
}

void repeated_call::discard() noexcept {
  timers::instance().strike(*this);
  std::shared_ptr<repeated_work> work;
  ref<state_base> run;
  {
    const std::lock_guard held{inside_->mutex};
    work = std::move(inside_->work);
    run = std::move(inside_->current);
  }
  if (run && !run->cancel()) run->request_stop();
}

}  // namespace cadre::detail
