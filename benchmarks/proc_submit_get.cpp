// SPDX-License-Identifier: MIT
// What does a call int -> int in a worker process cost, when 100,000 are submitted and then asked
// for? The hand-written workers have 64 in flight, since their pipes hold no more of them.
#include <cadre/process_pool_executor.hpp>

#include "processes.hpp"

namespace {

constexpr int calls = 100'000;

int same(int n) { return n; }

void measure_cadre(const bench::report& report) {
  cadre::process_pool_executor pool{bench::workers};
  std::vector<cadre::future<int>> futures;
  futures.reserve(calls);
  report("ns_per_call", bench::median_ns([&] {
                          futures.clear();
                          for (int i = 0; i < calls; ++i) futures.push_back(pool.submit(&same, i));
                          for (auto& f : futures) f.get();
                        }) / calls);
}

template <typename Workers>
void measure(const bench::report& report) {
  constexpr int in_flight = 64;
  Workers peer;
  report("ns_per_call",
         bench::median_ns([&] {
           int answer = 0;
           for (int i = 0; i < calls + in_flight; ++i) {
             if (i >= in_flight) {
               peer.receive(i % Workers::workers, std::as_writable_bytes(std::span{&answer, 1}));
             }
             if (i < calls) peer.send(i % Workers::workers, std::as_bytes(std::span{&i, 1}));
           }
         }) / calls);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_submit_get", argc, argv,
                    {{"cadre", measure_cadre},
                     {"pipe", measure<bench::pipe_workers>},
                     {"unix_socket", measure<bench::socket_workers>},
                     {"boost_mq", measure<bench::queue_workers>}});
}
