# make install DESTDIR=... PREFIX=/usr/local

INSTALL ?= install
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
SHAREDIR ?= $(PREFIX)/share/wp-cron-fcgi
MANDIR ?= $(PREFIX)/share/man

NGINX_FILES := $(wildcard nginx/*.conf)
POOL_FILES := $(wildcard nginx/php-fpm/*.conf)
UNIT_FILES := $(wildcard nginx/systemd/*.service nginx/systemd/*.socket \
	nginx/*.service nginx/*.socket)
TMPFILES := $(wildcard nginx/systemd/*.tmpfiles nginx/*.tmpfiles)
PHP_FILES := $(wildcard fcgi/php/*.php)
EXAMPLE := $(wildcard wp-cron-fcgi.conf.example)
MAN8 := $(wildcard man/*.8 tools/ctl/*.8 fcgi/*.8)
MAN1 := $(wildcard man/*.1 tools/ctl/*.1)
MAN5 := $(wildcard man/*.5 fcgi/*.5)

# Destination directory and its files; one row a kind.
INSTALLED = \
	$(addprefix $(SBINDIR)/,wp-cron-fcgi) \
	$(addprefix $(BINDIR)/,wp-cronctl) \
	$(addprefix $(SHAREDIR)/,$(notdir $(PHP_FILES) $(EXAMPLE))) \
	$(addprefix $(SHAREDIR)/nginx/,$(notdir $(NGINX_FILES))) \
	$(addprefix $(SHAREDIR)/php-fpm/,$(notdir $(POOL_FILES))) \
	$(addprefix $(UNITDIR)/,$(notdir $(UNIT_FILES))) \
	$(addprefix $(PREFIX)/lib/tmpfiles.d/,\
		$(patsubst %.tmpfiles,%.conf,$(notdir $(TMPFILES)))) \
	$(addprefix $(MANDIR)/man8/,$(notdir $(MAN8))) \
	$(addprefix $(MANDIR)/man1/,$(notdir $(MAN1))) \
	$(addprefix $(MANDIR)/man5/,$(notdir $(MAN5)))

# $(call put,mode,directory,files)
put = $(if $(strip $(3)),$(INSTALL) -d $(DESTDIR)$(2) && \
	$(INSTALL) -m $(1) $(3) $(DESTDIR)$(2)/)

install: all
	$(call put,755,$(SBINDIR),$(B)/wp-cron-fcgi)
	$(call put,755,$(BINDIR),$(B)/wp-cronctl)
	$(call put,644,$(SHAREDIR),$(PHP_FILES) $(EXAMPLE))
	$(call put,644,$(SHAREDIR)/nginx,$(NGINX_FILES))
	$(call put,644,$(SHAREDIR)/php-fpm,$(POOL_FILES))
	$(call put,644,$(UNITDIR),$(UNIT_FILES))
	$(foreach f,$(UNIT_FILES),sed -i 's|@SBINDIR@|$(SBINDIR)|; \
		s|@SYSCONFDIR@|$(SYSCONFDIR)|' \
		$(DESTDIR)$(UNITDIR)/$(notdir $(f));)
	$(foreach f,$(TMPFILES),$(INSTALL) -D -m 644 $(f) \
	    $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/$(basename $(notdir $(f))).conf;)
	$(call put,644,$(MANDIR)/man8,$(MAN8))
	$(call put,644,$(MANDIR)/man1,$(MAN1))
	$(call put,644,$(MANDIR)/man5,$(MAN5))

# The configuration in $(SYSCONFDIR) is the administrator's; it stays.
uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	-rmdir $(addprefix $(DESTDIR),$(SHAREDIR)/nginx $(SHAREDIR)/php-fpm \
		$(SHAREDIR)) 2>/dev/null

clean:
	rm -rf build

help:
	@echo "make [VARIANT=release|debug|asan|tsan] [CC=gcc|clang] [TARGET]"
	@echo
	@echo "  all           the daemon and wp-cronctl, into build/"
	@echo "  check         unit tests (seconds)"
	@echo "  integration   real MariaDB, nginx, php-fpm, WordPress"
	@echo "  test          check and integration; tools/test does it all"
	@echo "  lint          layers, headers, SQL, sizes, shellcheck, php -l"
	@echo "  tidy          clang-tidy and cppcheck"
	@echo "  format        clang-format in place; format-check: only look"
	@echo "  fuzz          every fuzz target, FUZZ_SECONDS each"
	@echo "  bench         measured ratios, JSON and a table"
	@echo "  soak          hours under load, SOAK_SECONDS"
	@echo "  demo          a whole site, in a private directory"
	@echo "  install       DESTDIR, PREFIX; uninstall"
	@echo "  clean"

.PHONY: install uninstall clean help
