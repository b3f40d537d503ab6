// SPDX-License-Identifier: MIT
// inline_executor: runs each call in submit(), on the caller's thread. For tests, and to reason.
//
//     cadre::inline_executor here;
//     assert(here.submit([] { return 42; }).done());
//
// Threads    Any; calls of different threads run at the same time. It may be destroyed as soon as the
//            results are there.
#pragma once

#include <cadre/config.hpp>
#include <cadre/local_executor.hpp>

#include <memory>

namespace cadre {

class CADRE_API inline_executor final : public local_executor {
 public:
  inline_executor();
  ~inline_executor() override;

 private:
  class impl;

  void do_enqueue(detail::state_base& call, const submit_options& options) override;
  shutdown_report do_shutdown(const shutdown_options& options) override;
  executor_stats do_stats() const override;
  unsigned do_max_workers() const noexcept override { return 1; }

  std::shared_ptr<impl> impl_;
};

}  // namespace cadre
