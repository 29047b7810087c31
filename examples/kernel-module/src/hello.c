// SPDX-License-Identifier: GPL-2.0
/* /proc/hello tells who was greeted last: write a name to it. */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

static char who[32] = "world";
module_param_string(who, who, sizeof(who), 0444);
MODULE_PARM_DESC(who, "Whom to greet");

static DEFINE_MUTEX(hello_lock);

static int hello_show(struct seq_file *file, void *unused)
{
	mutex_lock(&hello_lock);
	seq_printf(file, "Hello, %s\n", who);
	mutex_unlock(&hello_lock);
	return 0;
}

static int hello_open(struct inode *inode, struct file *file)
{
	return single_open(file, hello_show, NULL);
}

static ssize_t hello_write(struct file *file, const char __user *buffer, size_t size,
			   loff_t *position)
{
	char name[sizeof(who)];

	if (!size || size >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, buffer, size))
		return -EFAULT;
	name[size] = '\0';
	name[strcspn(name, "\n")] = '\0';
	mutex_lock(&hello_lock);
	strscpy(who, name, sizeof(who));
	mutex_unlock(&hello_lock);
	return size;
}

static const struct proc_ops hello_operations = {
	.proc_open = hello_open,
	.proc_read = seq_read,
	.proc_write = hello_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

static int __init hello_init(void)
{
	return proc_create("hello", 0600, NULL, &hello_operations) ? 0 : -ENOMEM;
}

static void __exit hello_exit(void)
{
	remove_proc_entry("hello", NULL);
}

module_init(hello_init);
module_exit(hello_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("An example of a module built outside of the kernel's tree");
