// SPDX-License-Identifier: MIT
#include <cadre/process_pool_executor.hpp>

#include <signal.h>

#include "base/keep_for_ever.hpp"
#include "process/process_pool.hpp"

namespace cadre {

process_pool_executor::process_pool_executor(process_pool_options options)
    : impl_{std::make_shared<impl>(std::move(options))} {
  impl_->prestart();
}

process_pool_executor::process_pool_executor(int max_workers)
    : process_pool_executor{[&] {
        process_pool_options options;
        options.max_workers = max_workers;
        return options;
      }()} {}

process_pool_executor::~process_pool_executor() {
  if (impl_->forked()) {
    detail::keep_for_ever(std::move(impl_));
    return;
  }
  shutdown();
}

void process_pool_executor::terminate_workers() { impl_->end_workers(SIGTERM); }
void process_pool_executor::kill_workers() { impl_->end_workers(SIGKILL); }
std::vector<int> process_pool_executor::worker_pids() const { return impl_->worker_pids(); }

void process_pool_executor::do_enqueue(detail::state_base& call, const submit_options& options) {
  impl_->enqueue(call, options);
}

shutdown_report process_pool_executor::do_shutdown(const shutdown_options& options) {
  return impl_->shutdown(options);
}

executor_stats process_pool_executor::do_stats() const { return impl_->stats(); }

unsigned process_pool_executor::do_max_workers() const noexcept { return impl_->max_workers(); }

}  // namespace cadre
