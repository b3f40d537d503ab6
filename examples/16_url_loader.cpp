// SPDX-License-Identifier: MIT
// The example of Python's ThreadPoolExecutor: pages loaded at the same time, one of which fails.
// Here they come from a server of this program; it listens on the loopback interface only.
#include <httplib.h>
#include <cadre/cadre.hpp>

#include <chrono>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// [load]
/// The page, as text. Throws std::runtime_error.
std::string load_url(const std::string& host, const std::string& path,
                     std::chrono::seconds timeout) {
  httplib::Client client{host};
  client.set_connection_timeout(timeout);
  client.set_read_timeout(timeout);
  const httplib::Result page = client.Get(path);
  if (!page) throw std::runtime_error{httplib::to_string(page.error())};
  if (page->status != 200) throw std::runtime_error{"status " + std::to_string(page->status)};
  return page->body;
}
// [/load]

int main() {
  httplib::Server server;
  server.Get("/news", [](auto&, auto& page) { page.set_content("All is well.", "text/plain"); });
  server.Get("/sport", [](auto&, auto& page) { page.set_content("A draw.", "text/plain"); });
  const int port = server.bind_to_any_port("127.0.0.1");
  const std::string host = "http://127.0.0.1:" + std::to_string(port);
  std::jthread listener{[&] { server.listen_after_bind(); }};

  int loaded = 0, failed = 0;
  // [main]
  using namespace std::chrono_literals;
  cadre::thread_pool_executor pool{{.max_workers = 5}};
  const std::vector<std::string> urls{"/news", "/no-such-page", "/sport"};
  std::map<std::string, cadre::future<std::string>> pages;
  for (const auto& url : urls) pages[url] = pool.submit(&load_url, host, url, 60s);
  for (const auto& [url, page] : cadre::as_completed(pages)) {
    try {
      const std::string& text = page.get();
      std::cout << url << " page is " << text.size() << " bytes\n";
      ++loaded;
    } catch (const std::exception& e) {
      std::cout << url << " generated an exception: " << e.what() << '\n';
      ++failed;
    }
  }
  // [/main]
  server.stop();
  return loaded == 2 && failed == 1 ? 0 : 1;
}
